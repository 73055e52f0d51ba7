import { readFileSync } from "node:fs";
import type { SecureContextOptions } from "node:tls";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { authorize, type Key } from "./client.js";
import { Reprise } from "./reprise.js";

export * from "./index.js";

/** Options of a connection from Node. */
export interface NodeOptions {
  interceptors?: Interceptor[];
  /** For a certificate that the system does not trust: `{ ca: readFileSync("ca.pem") }`. Default: the file REPRISE_CA_FILE. */
  tls?: SecureContextOptions;
}

/**
 * Connects from Node, over gRPC. `address` is `localhost:7700`, `http://host:port` or `https://host`. Without it REPRISE_ADDR
 * or REPRISE_URL counts, without `key` REPRISE_KEY or REPRISE_API_KEY; an empty `key` is none.
 */
export function connect(address?: string, key?: Key, options: NodeOptions = {}): Reprise {
  const baseUrl = urlOf(address || fromEnvironment("REPRISE_ADDR", "REPRISE_URL") || "127.0.0.1:7700");
  const interceptors = [...(options.interceptors ?? []), authorize(key ?? fromEnvironment("REPRISE_KEY", "REPRISE_API_KEY"))];
  const nodeOptions = { ...(baseUrl.startsWith("https:") ? trusted() : {}), ...options.tls };
  // A dead connection is noticed by a ping that is not answered, also while a stream is silent.
  return new Reprise(createGrpcTransport({ baseUrl, interceptors, nodeOptions, pingIntervalMs: 15_000 }));
}

/** The first of these variables that says something. */
function fromEnvironment(...names: string[]): string {
  return names.map((name) => process.env[name]?.trim()).find(Boolean) ?? "";
}

function urlOf(address: string): string {
  const text = address.trim();
  const whole = text.includes("://") ? text : `http://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.pathname !== "/" || url.search || url.hash) {
    throw new TypeError(`\`${address}\` is no address: expected HOST:PORT, http://HOST:PORT or https://HOST`);
  }
  return url.origin;
}

function trusted(): SecureContextOptions {
  const file = fromEnvironment("REPRISE_CA_FILE");
  return file ? { ca: readFileSync(file) } : {};
}
