import { defineConfig } from "@playwright/test";
import { browser } from "./support/browser.ts";

/** One worker: the machines this runs on have two cores, and Claude Code needs one of them. */
export default defineConfig({
  testDir: "specs",
  outputDir: "../../.tools/e2e",
  workers: 1,
  fullyParallel: false,
  forbidOnly: Boolean(process.env["CI"]),
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [["list"]],
  use: browser,
});
