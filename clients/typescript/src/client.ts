import type { DescService } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { RepriseError } from "./errors.js";

/** The API key: a fixed one, or a function that gives the present one. Undefined: none is sent. */
export type Key = string | (() => string | undefined);

/** Puts the API key on every call. */
export function authorize(key: Key): Interceptor {
  return (next) => (request) => {
    const value = typeof key === "function" ? key() : key;
    if (value) request.header.set("authorization", `Bearer ${value}`);
    return next(request);
  };
}

/** A client whose calls and streams fail with RepriseError. */
export function createTypedClient<S extends DescService>(service: S, transport: Transport): Client<S> {
  const client = createClient(service, transport) as Record<string, (request: unknown, options?: CallOptions) => unknown>;
  const typed: Record<string, unknown> = {};
  for (const method of service.methods) {
    const call = client[method.localName];
    if (!call) continue;
    typed[method.localName] =
      method.methodKind === "unary"
        ? (request: unknown, options?: CallOptions) => (call(request, options) as Promise<unknown>).catch(raise)
        : (request: unknown, options?: CallOptions) => typedStream(call(request, options) as AsyncIterable<unknown>);
  }
  return typed as Client<S>;
}

function raise(thrown: unknown): never {
  throw RepriseError.from(thrown);
}

async function* typedStream(stream: AsyncIterable<unknown>): AsyncIterable<unknown> {
  try {
    yield* stream;
  } catch (thrown) {
    raise(thrown);
  }
}
