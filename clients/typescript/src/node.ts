import type { SecureContextOptions } from "node:tls";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { authorize, type Key } from "./client.js";
import { Reprise } from "./reprise.js";

export * from "./index.js";

/** Options of a connection from Node. */
export interface NodeOptions {
  interceptors?: Interceptor[];
  /** For a certificate that the system does not trust: `{ ca: readFileSync("ca.pem") }`. */
  tls?: SecureContextOptions;
}

/** Connects from Node, over gRPC. `address` is for example `http://localhost:7700`. */
export function connect(address: string, key: Key, options: NodeOptions = {}): Reprise {
  const interceptors = [...(options.interceptors ?? []), authorize(key)];
  // A dead connection is noticed by a ping that is not answered, also while a stream is silent.
  return new Reprise(createGrpcTransport({ baseUrl: address, interceptors, nodeOptions: { ...options.tls }, pingIntervalMs: 15_000 }));
}
