import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { HmacAlgorithm, HmacEncoding, OnInterrupt, Source, type Trigger, type TriggerSchema } from "@reprise/client";
import { durationMs } from "../../lib/format.ts";

/** What a form makes of a trigger: texts and numbers as they are typed. An undefined number is the default. */
export interface Draft {
  slug: string;
  source: Source;
  displayName: string;
  enabled: boolean;
  /** Undefined: the default of the settings. */
  resume: boolean | undefined;
  filter: string;
  start: string;
  threadKey: string;
  action: "prompt" | "skill";
  template: string;
  /** Undefined: the built-in follow-up. */
  followUp: string | undefined;
  skill: string;
  skillArguments: string;
  skillFollowUp: string | undefined;
  workspace: "scratch" | "named";
  workspaceName: string;
  model: string;
  effort: string;
  profile: string;
  maxTurns: number | undefined;
  maxCostUsd: number | undefined;
  timeout: number | undefined;
  silence: number | undefined;
  concurrentRuns: number | undefined;
  runsPerHour: number | undefined;
  busy: "default" | "queue" | "coalesce" | "drop";
  quietPeriod: number | undefined;
  maxWait: number | undefined;
  maxBatch: number | undefined;
  onInterrupt: OnInterrupt;
  maxAttempts: number | undefined;
  allow: string;
  deny: string;
  allowedBots: string;
  ownIdentities: string;
  hmacHeader: string;
  hmacAlgorithm: HmacAlgorithm;
  hmacEncoding: HmacEncoding;
  hmacPrefix: string;
  hmacTemplate: string;
  hmacTimestampHeader: string;
  hmacTolerance: number | undefined;
  hmacIdHeader: string;
}

/** A trigger that is not there yet. */
export function newDraft(): Draft {
  return {
    slug: "",
    source: Source.GITHUB,
    displayName: "",
    enabled: true,
    resume: undefined,
    filter: "",
    start: "",
    threadKey: "",
    action: "prompt",
    template: "",
    followUp: undefined,
    skill: "",
    skillArguments: "",
    skillFollowUp: undefined,
    workspace: "scratch",
    workspaceName: "",
    model: "",
    effort: "",
    profile: "",
    maxTurns: undefined,
    maxCostUsd: undefined,
    timeout: undefined,
    silence: undefined,
    concurrentRuns: undefined,
    runsPerHour: undefined,
    busy: "default",
    quietPeriod: undefined,
    maxWait: undefined,
    maxBatch: undefined,
    onInterrupt: OnInterrupt.RESUME,
    maxAttempts: undefined,
    allow: "",
    deny: "",
    allowedBots: "",
    ownIdentities: "",
    hmacHeader: "",
    hmacAlgorithm: HmacAlgorithm.SHA256,
    hmacEncoding: HmacEncoding.HEX,
    hmacPrefix: "",
    hmacTemplate: "",
    hmacTimestampHeader: "",
    hmacTolerance: undefined,
    hmacIdHeader: "",
  };
}

/** The form of a trigger as it is stored. */
export function toDraft(trigger: Trigger): Draft {
  const { action, workspace, agent, runLimits, caps, authorRule, hmac, retry } = trigger;
  const claude = agent?.cli.case === "claude" ? agent.cli.value : undefined;
  const busy = trigger.busy?.policy;
  const coalesce = busy?.case === "coalesce" ? busy.value : undefined;
  return {
    ...newDraft(),
    slug: trigger.slug,
    source: trigger.source,
    displayName: trigger.displayName ?? "",
    enabled: trigger.enabled ?? true,
    resume: trigger.resumeSessions,
    filter: trigger.filterExpression ?? "",
    start: trigger.startExpression ?? "",
    threadKey: trigger.threadKeyExpression ?? "",
    ...(action.case === "skill"
      ? {
          action: "skill" as const,
          skill: action.value.name,
          skillArguments: action.value.arguments,
          skillFollowUp: action.value.followUpArguments,
        }
      : { action: "prompt" as const, template: action.value?.template ?? "", followUp: action.value?.followUpTemplate }),
    ...(workspace?.kind.case === "named" ? { workspace: "named" as const, workspaceName: workspace.kind.value.name } : {}),
    model: claude?.model ?? "",
    effort: claude?.effort ?? "",
    profile: agent?.profile ?? "",
    maxTurns: runLimits?.maxTurns,
    maxCostUsd: runLimits?.maxCostUsd,
    timeout: seconds(runLimits?.timeout),
    silence: seconds(runLimits?.silenceTimeout),
    concurrentRuns: caps?.concurrentRuns || undefined,
    runsPerHour: caps?.runsPerSessionPerHour,
    busy: busy?.case ?? "default",
    quietPeriod: seconds(coalesce?.quietPeriod),
    maxWait: seconds(coalesce?.maxWait),
    maxBatch: coalesce?.maxBatch,
    onInterrupt: retry?.onInterrupt || OnInterrupt.RESUME,
    maxAttempts: retry?.maxAttempts,
    allow: (authorRule?.allow ?? []).join("\n"),
    deny: (authorRule?.deny ?? []).join("\n"),
    allowedBots: (authorRule?.allowedBots ?? []).join("\n"),
    ownIdentities: (authorRule?.ownIdentities ?? []).join("\n"),
    hmacHeader: hmac?.header ?? "",
    hmacAlgorithm: hmac?.algorithm || HmacAlgorithm.SHA256,
    hmacEncoding: hmac?.encoding || HmacEncoding.HEX,
    hmacPrefix: hmac?.prefix ?? "",
    hmacTemplate: hmac?.signedTemplate ?? "",
    hmacTimestampHeader: hmac?.timestampHeader ?? "",
    hmacTolerance: seconds(hmac?.tolerance),
    hmacIdHeader: hmac?.idHeader ?? "",
  };
}

/** The trigger that a form says, for a request. */
export function toTrigger(draft: Draft): MessageInitShape<typeof TriggerSchema> {
  return {
    slug: draft.slug.trim(),
    source: draft.source,
    displayName: draft.displayName.trim(),
    enabled: draft.enabled,
    ...(draft.resume === undefined ? {} : { resumeSessions: draft.resume }),
    filterExpression: draft.filter.trim(),
    startExpression: draft.start.trim(),
    threadKeyExpression: draft.threadKey.trim(),
    action: toAction(draft),
    workspace: {
      kind: draft.workspace === "named" ? { case: "named", value: { name: draft.workspaceName.trim() } } : { case: "scratch", value: {} },
    },
    agent: {
      cli: { case: "claude", value: { model: word(draft.model), effort: word(draft.effort) } },
      profile: word(draft.profile),
    },
    runLimits: {
      maxTurns: draft.maxTurns,
      maxCostUsd: draft.maxCostUsd,
      timeout: span(draft.timeout),
      silenceTimeout: span(draft.silence),
    },
    caps: { concurrentRuns: draft.concurrentRuns ?? 0, runsPerSessionPerHour: draft.runsPerHour },
    busy: toBusy(draft),
    retry: { onInterrupt: draft.onInterrupt, maxAttempts: draft.maxAttempts },
    authorRule: {
      allow: names(draft.allow),
      deny: names(draft.deny),
      allowedBots: names(draft.allowedBots),
      ownIdentities: names(draft.ownIdentities),
    },
    ...(draft.source === Source.GENERIC_HMAC
      ? {
          hmac: {
            header: draft.hmacHeader.trim(),
            algorithm: draft.hmacAlgorithm,
            encoding: draft.hmacEncoding,
            prefix: draft.hmacPrefix,
            signedTemplate: draft.hmacTemplate,
            timestampHeader: draft.hmacTimestampHeader.trim(),
            tolerance: span(draft.hmacTolerance),
            idHeader: draft.hmacIdHeader.trim(),
          },
        }
      : {}),
  };
}

function toAction(draft: Draft): NonNullable<MessageInitShape<typeof TriggerSchema>["action"]> {
  if (draft.action === "skill") {
    const value = { name: draft.skill.trim(), arguments: draft.skillArguments, followUpArguments: draft.skillFollowUp };
    return { case: "skill", value };
  }
  return { case: "prompt", value: { template: draft.template, followUpTemplate: draft.followUp } };
}

function toBusy(draft: Draft): MessageInitShape<typeof TriggerSchema>["busy"] {
  if (draft.busy === "default") return undefined;
  if (draft.busy === "queue") return { policy: { case: "queue", value: {} } };
  if (draft.busy === "drop") return { policy: { case: "drop", value: {} } };
  const value = { quietPeriod: span(draft.quietPeriod), maxWait: span(draft.maxWait), maxBatch: draft.maxBatch };
  return { policy: { case: "coalesce", value } };
}

/** Each path that an update may write, and the fields of the form behind it. */
const PATHS: readonly (readonly [string, readonly (keyof Draft)[]])[] = [
  ["display_name", ["displayName"]],
  ["resume_sessions", ["resume"]],
  ["filter_expression", ["filter"]],
  ["start_expression", ["start"]],
  ["thread_key_expression", ["threadKey"]],
  ["prompt", ["action", "template", "followUp"]],
  ["skill", ["action", "skill", "skillArguments", "skillFollowUp"]],
  ["workspace", ["workspace", "workspaceName"]],
  ["agent", ["model", "effort", "profile"]],
  ["run_limits", ["maxTurns", "maxCostUsd", "timeout", "silence"]],
  ["caps", ["concurrentRuns", "runsPerHour"]],
  ["busy", ["busy", "quietPeriod", "maxWait", "maxBatch"]],
  ["retry", ["onInterrupt", "maxAttempts"]],
  ["author_rule", ["allow", "deny", "allowedBots", "ownIdentities"]],
  [
    "hmac",
    ["hmacHeader", "hmacAlgorithm", "hmacEncoding", "hmacPrefix", "hmacTemplate", "hmacTimestampHeader", "hmacTolerance", "hmacIdHeader"],
  ],
];

/** The paths that differ between two forms: what an update writes, so that nothing else is touched. */
export function changedPaths(before: Draft, now: Draft): string[] {
  // The action is one of two branches: only the chosen one can be written.
  const other = now.action === "prompt" ? "skill" : "prompt";
  return PATHS.filter(([path, fields]) => path !== other && fields.some((field) => before[field] !== now[field])).map(([path]) => path);
}

/** Names of the paths for people. */
export function pathWord(path: string): string {
  return PATH_WORDS[path] ?? path.replaceAll("_", " ");
}

const PATH_WORDS: Record<string, string> = {
  display_name: "name",
  resume_sessions: "continue sessions",
  filter_expression: "filter",
  start_expression: "start rule",
  thread_key_expression: "thread key",
  run_limits: "limits of a run",
  busy: "busy policy",
  retry: "interruptions",
  author_rule: "authors",
  hmac: "signature",
};

/** Whether a violation that the server named belongs to something that was changed. */
export function isAbout(field: string, paths: readonly string[]): boolean {
  const path = field.replace(/^trigger\./, "");
  return paths.some((one) => path === one || path.startsWith(`${one}.`) || path.startsWith(`${one}[`));
}

/** Names, one a line or parted by commas. */
export function names(text: string): string[] {
  return text
    .split(/[\n,]/)
    .map((one) => one.trim())
    .filter(Boolean);
}

function word(text: string): string | undefined {
  return text.trim() || undefined;
}

function seconds(duration: Duration | undefined): number | undefined {
  const ms = durationMs(duration);
  return ms === undefined ? undefined : ms / 1000;
}

/** A duration for a request. */
export function span(value: number | undefined): { seconds: bigint; nanos: number } | undefined {
  if (value === undefined || !Number.isFinite(value)) return undefined;
  const whole = Math.floor(value);
  return { seconds: BigInt(whole), nanos: Math.round((value - whole) * 1e9) };
}
