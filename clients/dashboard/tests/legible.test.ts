import { expect, test } from "vitest";
import { legible } from "../src/lib/legible.ts";

test.each([
  ["\u001b[31mred\u001b[0m", "�[31mred�[0m"],
  ["a\u0000b\u0007c\u007f", "a�b�c�"],
  ["\u009b31m", "�31m"],
  ["\u202egpj.exe\u202c", "�gpj.exe�"],
  ["\u2066a\u2069 \u200fb \u061cc", "�a� �b �c"],
  ["ad\u200bmin \ufeffx\u2060", "ad�min �x�"],
])("what would not be seen is a sign: %j", (text, shown) => expect(legible(text)).toBe(shown));

test.each([
  "👩‍💻 🏳️‍🌈 👍🏽 🇩🇪",
  "می‌خواهم",
  "שלום עולם",
  "日本語",
  "café",
  "a\tb\nc",
  "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
])("text of every script stays as it is: %s", (text) => expect(legible(text)).toBe(text));
