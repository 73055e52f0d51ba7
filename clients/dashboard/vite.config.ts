import { fileURLToPath } from "node:url";
import preact from "@preact/preset-vite";
import { defineConfig, type ProxyOptions } from "vite";

// `npm run dev` shows the pages of this directory over a server that runs at REPRISE_ADDR.
const server = process.env["REPRISE_ADDR"] ?? "http://localhost:7700";
// The host stays the one that the browser knows: the server takes calls of its own pages alone.
const rpc: ProxyOptions = { target: server, changeOrigin: false };

// As the server sends it, so that what it refuses is refused here too.
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

export default defineConfig({
  plugins: [preact({ prefreshEnabled: true })],
  resolve: {
    alias: { "@reprise/client": fileURLToPath(new URL("../typescript/src/web.ts", import.meta.url)) },
    dedupe: ["preact", "@preact/signals"],
  },
  server: { proxy: { "^/reprise\\.v1\\..*": rpc } },
  preview: { proxy: { "^/reprise\\.v1\\..*": rpc }, headers: { "content-security-policy": policy } },
  build: {
    // The first browsers that know light-dark().
    target: ["chrome123", "firefox120", "safari17.5"],
    // Nothing is inlined: the page's policy allows what the server serves, and no data: address.
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    manifest: true,
  },
});
