// The first page, gzip: what index.html loads, with everything that it imports at once, and the page Now. A build that
// is too large fails.
import { readFileSync, rmSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 150_000;
const dist = new URL("./dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));
const files = new Set(["index.html"]);

function add(name) {
  const chunk = manifest[name];
  if (!chunk) throw new Error(`the build has no ${name}`);
  if (files.has(chunk.file)) return;
  files.add(chunk.file);
  for (const file of chunk.css ?? []) files.add(file);
  for (const one of chunk.imports ?? []) add(one);
}

add("index.html");
add("src/pages/now.tsx");
for (const chunk of Object.values(manifest)) if (chunk.file.endsWith(".css")) files.add(chunk.file);

const sizes = [...files].map((file) => [file, gzipSync(readFileSync(new URL(file, dist))).length]);
const total = sizes.reduce((sum, [, size]) => sum + size, 0);
console.log(`first page: ${(total / 1000).toFixed(1)} kB gzip of ${LIMIT / 1000}`);
if (total > LIMIT) {
  for (const [file, size] of sizes) console.error(`${size}\t${file}`);
  process.exit(1);
}
// Only this check needs the manifest; the server would serve it.
rmSync(new URL(".vite/", dist), { recursive: true });
