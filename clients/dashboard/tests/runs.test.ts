import { Lineage } from "@reprise/client";
import { expect, test } from "vitest";
import { memoryWords } from "../src/pages/run/words.ts";

test.each([
  [Lineage.UNSPECIFIED, 0, "–"],
  [Lineage.FRESH, 1, "fresh"],
  [Lineage.CONTINUED, 2, "continued · turn 2"],
  [Lineage.RESTORED, 7, "restored · turn 7"],
  [Lineage.RECOVERED, 1, "recovered"],
])("how a run got its memory: %s, turn %i", (lineage, turn, words) => expect(memoryWords({ lineage, turn })).toBe(words));
