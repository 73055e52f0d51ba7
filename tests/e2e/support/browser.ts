import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { PlaywrightTestOptions, PlaywrightWorkerOptions } from "@playwright/test";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** The system's Chromium: REPRISE_TEST_CHROMIUM, or the first that PATH has. */
function executable(): string {
  const given = process.env["REPRISE_TEST_CHROMIUM"];
  if (given) return given;
  const places = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/bin"];
  const found = places.flatMap((place) => NAMES.map((name) => join(place, name))).find((path) => existsSync(path));
  if (!found) throw new Error("there is no Chromium: install one, or name it in REPRISE_TEST_CHROMIUM");
  return found;
}

/** How every test sees the dashboard. Root has no sandbox of Chromium's own. */
export const browser: Partial<PlaywrightTestOptions & PlaywrightWorkerOptions> = {
  viewport: { width: 1280, height: 800 },
  locale: "en-GB",
  timezoneId: "UTC",
  reducedMotion: "reduce",
  actionTimeout: 15_000,
  launchOptions: { executablePath: executable(), chromiumSandbox: process.getuid?.() !== 0 },
};
