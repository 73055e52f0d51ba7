import { defineConfig } from "@playwright/test";
import base from "./playwright.config.ts";

/** Figures of the dashboard, each beside its limit. Not part of the tests: they depend on the machine. */
export default defineConfig({ ...base, testDir: "speed", timeout: 580_000 });
