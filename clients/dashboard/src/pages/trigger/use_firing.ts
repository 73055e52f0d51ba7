import { type FireTriggerResponse, newId, type RepriseError, SessionMode, type Trigger } from "@reprise/client";
import { useEffect, useState } from "preact/hooks";
import { query } from "../../app/router.ts";
import { reprise } from "../../data/api.ts";
import { useAction } from "../../data/query.ts";
import { parseHeaders } from "./headers.ts";

/** What is fired, as it is typed. */
export interface FiredEvent {
  kind: "sample" | "own";
  sample: string;
  body: string;
  headers: string;
  skipFilter: boolean;
  ownThread: boolean;
  threadKey: string;
  mode: SessionMode;
  ownPrompt: boolean;
  prompt: string;
  sessionId: string;
}

/** An event by hand: how it is typed, what it would do, and what it did. */
export interface Firing {
  event: FiredEvent;
  set: (change: Partial<FiredEvent>) => void;
  /** What is wrong with the payload and the headers before they are sent. */
  wrong: { body: string | undefined; headers: string | undefined };
  problem: RepriseError | undefined;
  /** What this very event would do. */
  foreseen: FireTriggerResponse | undefined;
  fired: FireTriggerResponse | undefined;
  explain: () => void;
  fire: () => void;
  busy: "explain" | "fire" | undefined;
}

/** Explains an event first, then fires it. */
export function useFiring(trigger: Trigger, samples: readonly string[]): Firing {
  const [event, setEvent] = useState(() => firstEvent(samples));
  const [requestId, setRequestId] = useState(newId);
  const [seen, setSeen] = useState<{ of: FiredEvent; answer: FireTriggerResponse }>();
  const [fired, setFired] = useState<FireTriggerResponse>();
  const set = (change: Partial<FiredEvent>) => {
    setEvent((was) => ({ ...was, ...change }));
    setRequestId(newId());
  };
  useEffect(() => {
    if (samples.length > 0 && event.sample === "") set({ sample: samples[0] ?? "", kind: "sample" });
  }, [samples.length]);
  const explain = useAction(async () => {
    setFired(undefined);
    setSeen({ of: event, answer: await send(trigger, event) });
  });
  const fire = useAction(async () => {
    setFired(await send(trigger, event, requestId));
    // Pressing it again is another event.
    setRequestId(newId());
  });
  return {
    event,
    set,
    wrong: {
      body: event.kind === "own" ? jsonProblem(event.body) : undefined,
      headers: event.kind === "own" ? parseHeaders(event.headers).problem : undefined,
    },
    problem: fire.error ?? explain.error,
    foreseen: seen?.of === event ? seen.answer : undefined,
    fired,
    explain: () => void explain.run(),
    fire: () => void fire.run(),
    busy: explain.busy ? "explain" : fire.busy ? "fire" : undefined,
  };
}

function firstEvent(samples: readonly string[]): FiredEvent {
  return {
    kind: samples.length > 0 ? "sample" : "own",
    sample: samples[0] ?? "",
    body: "{\n}",
    headers: "",
    skipFilter: false,
    ownThread: false,
    threadKey: "",
    mode: SessionMode.UNSPECIFIED,
    ownPrompt: false,
    prompt: "",
    sessionId: query("session"),
  };
}

/** Without a request id it is only explained. A sample brings its own headers. */
function send(trigger: Trigger, event: FiredEvent, requestId?: string): Promise<FireTriggerResponse> {
  const own = event.kind === "own";
  return reprise.triggers.fireTrigger({
    triggerId: trigger.id,
    content: own ? { case: "body", value: new TextEncoder().encode(event.body) } : { case: "sample", value: event.sample },
    headers: own ? parseHeaders(event.headers).headers : [],
    skipFilter: event.skipFilter,
    sessionMode: event.mode,
    sessionId: event.sessionId.trim(),
    ...(event.ownThread ? { threadKey: event.threadKey } : {}),
    ...(event.ownPrompt && event.prompt !== "" ? { prompt: event.prompt } : {}),
    ...(requestId === undefined ? { validateOnly: true } : { requestId }),
  });
}

function jsonProblem(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "must be a JSON object";
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : "is no JSON";
  }
}
