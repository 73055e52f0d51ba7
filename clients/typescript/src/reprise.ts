import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { Client, Transport } from "@connectrpc/connect";
import { createTypedClient } from "./client.js";
import { RepriseError } from "./errors.js";
import { AccessService } from "./gen/reprise/v1/access_service_pb.js";
import type { JournalEntry } from "./gen/reprise/v1/journal_pb.js";
import type { Run } from "./gen/reprise/v1/run_pb.js";
import { RunService } from "./gen/reprise/v1/run_service_pb.js";
import { SessionService } from "./gen/reprise/v1/session_service_pb.js";
import { SettingsService } from "./gen/reprise/v1/settings_service_pb.js";
import type { TriggerSchema } from "./gen/reprise/v1/trigger_pb.js";
import {
  type CreateTriggerResponse,
  type FireTriggerRequestSchema,
  type FireTriggerResponse,
  TriggerService,
} from "./gen/reprise/v1/trigger_service_pb.js";
import { type DeliverWebhookResponse, WebhookGatewayService } from "./gen/reprise/v1/webhook_gateway_service_pb.js";
import { newId, signWebhook, type UnsignedWebhook } from "./sign.js";
import { type WatchRunEvent, type WatchRunOptions, watchRunEvents } from "./watch.js";

/** What fires a trigger by hand: one of payload, body and sample, and whatever else FireTrigger takes. */
export type FireOptions = Omit<MessageInitShape<typeof FireTriggerRequestSchema>, "$typeName" | "triggerId" | "content"> & {
  /** An event as an object. */
  payload?: JsonObject;
  /** An event, byte for byte. */
  body?: Uint8Array;
  /** Name of a sample of the trigger's source. */
  sample?: string;
};

/** A Reprise server: its services as they are, and what a program does with them most. */
export class Reprise {
  readonly triggers: Client<typeof TriggerService>;
  readonly runs: Client<typeof RunService>;
  readonly sessions: Client<typeof SessionService>;
  readonly settings: Client<typeof SettingsService>;
  readonly access: Client<typeof AccessService>;
  readonly gateway: Client<typeof WebhookGatewayService>;

  /** For an own transport; most programs call `connect` of the entry point for browsers or Node. */
  constructor(transport: Transport) {
    this.triggers = createTypedClient(TriggerService, transport);
    this.runs = createTypedClient(RunService, transport);
    this.sessions = createTypedClient(SessionService, transport);
    this.settings = createTypedClient(SettingsService, transport);
    this.access = createTypedClient(AccessService, transport);
    this.gateway = createTypedClient(WebhookGatewayService, transport);
  }

  /** Makes a trigger. The answer's `secret` is shown this once. Safe to repeat with the same `requestId`. */
  createTrigger(
    trigger: MessageInitShape<typeof TriggerSchema>,
    options: { secret?: string; requestId?: string } = {},
  ): Promise<CreateTriggerResponse> {
    return this.triggers.createTrigger({ trigger, requestId: newId(), ...options });
  }

  /** Fires a trigger by hand, by id or slug. Safe to repeat with the same `requestId`. */
  fire(triggerId: string, options: FireOptions = {}): Promise<FireTriggerResponse> {
    const { payload, body, sample, ...rest } = options;
    const request: MessageInitShape<typeof FireTriggerRequestSchema> = { requestId: newId(), ...rest, triggerId };
    if (sample !== undefined) request.content = { case: "sample", value: sample };
    else if (body !== undefined) request.content = { case: "body", value: body };
    else if (payload !== undefined) request.content = { case: "payload", value: payload };
    return this.triggers.fireTrigger(request);
  }

  /** Signs a webhook with the trigger's secret and hands it in as its sender would, through the gateway rpc. */
  async deliver(slug: string, secret: string, webhook: UnsignedWebhook): Promise<DeliverWebhookResponse> {
    const signed = await signWebhook(secret, webhook);
    const encoder = new TextEncoder();
    const headers = Object.entries(signed.headers).map(([name, value]) => ({ name, value: encoder.encode(value) }));
    return this.gateway.deliverWebhook({ slug, headers, body: signed.body });
  }

  /** The entries of a run from the place asked for, then live until it has ended, over broken connections. */
  async *watchRun(runId: string, options: WatchRunOptions = {}): AsyncGenerator<JournalEntry, void, undefined> {
    for await (const event of this.watchRunEvents(runId, options)) {
      if (event.kind === "entry") yield event.entry;
    }
  }

  /** Like watchRun, with the run itself, text while it is written, and how the connection fares: for screens. */
  watchRunEvents(runId: string, options: WatchRunOptions = {}): AsyncGenerator<WatchRunEvent, void, undefined> {
    return watchRunEvents(this.runs, runId, options);
  }

  /** Waits until a run has ended and gives the whole of it, as GetRun does. A run that failed is an answer too: see `failure`. */
  async wait(runId: string, options: Pick<WatchRunOptions, "signal" | "maxRetries" | "reachWithinMs"> = {}): Promise<Run> {
    for await (const _ of this.watchRunEvents(runId, { ...options, tail: 1 })) {
      // What the watch brings is without the attempts; only its end counts.
    }
    if (options.signal?.aborted) throw RepriseError.from(options.signal.reason);
    const { run } = await this.runs.getRun({ runId }, options.signal ? { signal: options.signal } : {});
    if (!run) throw RepriseError.from(new Error("the server gave no run"));
    return run;
  }
}
