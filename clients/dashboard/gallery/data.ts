// What the gallery shows: made up.
import { Code } from "@connectrpc/connect";
import { RepriseError } from "@reprise/client";
import { LiveRows } from "../src/data/rows.ts";
import type { Mark } from "../src/lib/words.ts";

/** A row of the list. */
export interface Row {
  id: string;
  mark: Mark;
  word: string;
  since: string;
  thread: string;
  title: string;
  line: string;
  cost: string;
}

export const ROWS: Row[] = [
  {
    id: "run_01jd8m3c6zf5xbq2t9q17k2m",
    mark: "live",
    word: "running",
    since: "1m 12s",
    thread: "acme/shop#412",
    title: "Add retry to checkout",
    line: "Bash test retry::tests::delay_grows ... ok",
    cost: "$0.0904",
  },
  {
    id: "run_01jd8m3c6zf5xbq2t9h20c9w",
    mark: "waiting",
    word: "waiting",
    since: "31 s",
    thread: "ENG-1187",
    title: "Invoice totals differ by a cent",
    line: "behind the run of this thread · 2 comments merged in",
    cost: "–",
  },
  {
    id: "run_01jd8m3c6zf5xbq2t9t5zr1e",
    mark: "failed",
    word: "failed",
    since: "09:41",
    thread: "acme/docs#88",
    title: "Broken anchors after the move",
    line: "max_cost stopped at $0.5031 of $0.50",
    cost: "$0.50",
  },
  {
    id: "run_01jd8m3c6zf5xbq2t9t5zr1f",
    mark: "ok",
    word: "succeeded",
    since: "03:12",
    thread: "86c4t9k1p",
    title: "Weekly dependency report",
    line: "",
    cost: "$0.18",
  },
  {
    id: "run_01jd8m3c6zf5xbq2t9t5zr1g",
    mark: "none",
    word: "cancelled",
    since: "Sun 18:20",
    thread: "acme/infra#61",
    title: "Pin the base image",
    line: "by maria",
    cost: "$0",
  },
];

const E = "\u001b";
export const OUTPUT = `${E}[32m   Compiling${E}[0m checkout v0.4.1
${E}[32m    Finished${E}[0m \`test\` profile in 5.91s
${E}[32m     Running${E}[0m unittests src/lib.rs ${E}[90m(target/debug/deps/checkout-7c1e)${E}[0m
${Array.from({ length: 212 }, (_, at) => `test retry::tests::case_${at} ... ${E}[32mok${E}[0m`).join("\n")}
test retry::tests::delay_grows ... ${E}[31mFAILED${E}[0m

${E}[1m---- retry::tests::delay_grows stdout ----${E}[0m
thread ${E}[36m'retry::tests::delay_grows'${E}[0m panicked at ${E}[34msrc/checkout/retry.rs:71:9${E}[0m
assertion \`left == right\` failed
  left: ${E}[33m187ms${E}[0m
 right: ${E}[33m200ms${E}[0m ${E}[38;2;255;255;0mtrue colour${E}[0m ${E}[38;5;57m256${E}[0m ${E}[1;37;41m FAIL ${E}[0m
`;

export const BEFORE = "impl Backoff {\n    pub fn delay(&self, attempt: u32) -> Duration {\n        self.base * attempt\n    }\n";
export const AFTER =
  "impl Backoff {\n    /// Full jitter; never above `cap`.\n    pub fn delay(&self, attempt: u32) -> Duration {\n        let top = self.base.saturating_mul(1 << attempt.min(16)).min(self.cap);\n        thread_rng().gen_range(Duration::ZERO..=top)\n    }\n";

export const JSON_TEXT =
  '{"action":"created","comment":{"id":12345678901234567890,"body":"can we add <b>jitter</b> here?","user":{"login":"maria","bot":false}},"labels":["bug","p1"],"empty":null}';

export const held = new LiveRows<{ id: string }>((row) => row.id);
held.complete();
for (let at = 0; at < 12; at += 1) held.apply({ id: String(at) });

export const error = new RepriseError(
  "`slug` must match [a-z0-9][a-z0-9-]{0,47}",
  Code.InvalidArgument,
  { reason: "FIELD_INVALID", metadata: { trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" }, fields: [], retryAfterMs: undefined },
  undefined,
);
