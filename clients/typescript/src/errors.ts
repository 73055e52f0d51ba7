import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";

/** One field of a request that the server refused, from google.rpc.BadRequest. */
export interface FieldViolation {
  /** Path of the field, for example `trigger.run_limits.max_turns`. */
  field: string;
  /** What is wrong and what is allowed, for people. */
  description: string;
}

/** A failed call. `reason` is one of the names of ErrorReason without its prefix, and never changes its meaning. */
export class RepriseError extends Error {
  override readonly name = "RepriseError";
  /** The gRPC code. */
  readonly code: Code;
  /** Why, for programs, for example `SLUG_TAKEN`. Empty: the error did not come from the server. */
  readonly reason: string;
  /** Details by name; which ones is documented at each ErrorReason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that are wrong, for FIELD_INVALID and its kin. */
  readonly fields: readonly FieldViolation[];
  /** How long to wait before trying again, where the server says so. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, code: Code, details: Details, cause: unknown) {
    super(message, { cause });
    this.code = code;
    this.reason = details.reason;
    this.metadata = details.metadata;
    this.fields = details.fields;
    this.retryAfterMs = details.retryAfterMs;
  }

  /** Finds the call in the server's log. Empty: the error did not come from the server. */
  get traceId(): string {
    return this.metadata["trace_id"] ?? "";
  }

  /** Whether the same call may succeed later without a change: the network, a restart, a full house. */
  get transient(): boolean {
    if (this.reason) return TRANSIENT_REASONS.has(this.reason);
    return TRANSIENT_CODES.has(this.code);
  }

  /** Makes a RepriseError of whatever a call threw. */
  static from(thrown: unknown): RepriseError {
    if (thrown instanceof RepriseError) return thrown;
    const error = ConnectError.from(thrown, Code.Unavailable);
    return new RepriseError(error.rawMessage || error.message, error.code, readDetails(error), thrown);
  }
}

const TRANSIENT_REASONS = new Set(["DRAINING", "STORE_UNAVAILABLE", "TOO_MANY_STREAMS"]);

// Without a reason the error was made on the way: a proxy, a cut connection, a fetch that failed.
const TRANSIENT_CODES = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Unknown, Code.Internal, Code.Aborted, Code.Canceled]);

interface Details {
  reason: string;
  metadata: Record<string, string>;
  fields: FieldViolation[];
  retryAfterMs: number | undefined;
}

// The three messages of google.rpc are small and will not change, so their bytes are read here instead of bringing in
// the generated code of googleapis.
function readDetails(error: ConnectError): Details {
  const out: Details = { reason: "", metadata: {}, fields: [], retryAfterMs: undefined };
  for (const detail of error.details) {
    if (!("type" in detail)) continue;
    try {
      const reader = new BinaryReader(detail.value);
      if (detail.type === "google.rpc.ErrorInfo") readErrorInfo(reader, out);
      else if (detail.type === "google.rpc.BadRequest") readBadRequest(reader, out);
      else if (detail.type === "google.rpc.RetryInfo") readRetryInfo(reader, out);
    } catch {
      // A damaged detail takes nothing away from the code and the message.
    }
  }
  return out;
}

function readErrorInfo(reader: BinaryReader, out: Details): void {
  eachField(reader, (field) => {
    if (field === 1) out.reason = reader.string();
    else if (field === 3) {
      const [key, value] = readPair(reader);
      out.metadata[key] = value;
    } else return false;
    return true;
  });
}

function readBadRequest(reader: BinaryReader, out: Details): void {
  eachField(reader, (field) => {
    if (field !== 1) return false;
    const [path, description] = readPair(reader);
    out.fields.push({ field: path, description });
    return true;
  });
}

function readRetryInfo(reader: BinaryReader, out: Details): void {
  eachField(reader, (field) => {
    if (field !== 1) return false;
    let ms = 0;
    const duration = new BinaryReader(reader.bytes());
    eachField(duration, (part) => {
      if (part === 1) ms += Number(duration.int64()) * 1000;
      else if (part === 2) ms += duration.int32() / 1e6;
      else return false;
      return true;
    });
    out.retryAfterMs = ms;
    return true;
  });
}

/** A message of two texts, in fields 1 and 2: a map entry, or a field violation. */
function readPair(reader: BinaryReader): [string, string] {
  const pair = new BinaryReader(reader.bytes());
  let first = "";
  let second = "";
  eachField(pair, (field) => {
    if (field === 1) first = pair.string();
    else if (field === 2) second = pair.string();
    else return false;
    return true;
  });
  return [first, second];
}

function eachField(reader: BinaryReader, read: (field: number) => boolean): void {
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (!read(field)) reader.skip(wire, field);
  }
}
