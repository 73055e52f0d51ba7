import type { Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { authorize, type Key } from "./client.js";
import { Reprise } from "./reprise.js";

export * from "./index.js";

/** Connects from a browser, over gRPC-web. `address` is for example `https://reprise.example.com`. */
export function connect(address: string, key: Key, options: { interceptors?: Interceptor[] } = {}): Reprise {
  const interceptors = [...(options.interceptors ?? []), authorize(key)];
  return new Reprise(createGrpcWebTransport({ baseUrl: address, interceptors }));
}
