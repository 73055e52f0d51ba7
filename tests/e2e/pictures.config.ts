import { defineConfig } from "@playwright/test";
import base from "./playwright.config.ts";

/** Pictures of every page, to be looked at: both themes, and 400 px. They go to E2E_PICTURES. */
export default defineConfig({ ...base, testDir: "pictures", timeout: 240_000 });
