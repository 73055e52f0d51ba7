import { expect, test } from "vitest";
import { parseAnsi, stripAnsi } from "../src/lib/ansi.ts";

const ESC = "\u001b";
const one = (text: string) => parseAnsi(text)[0] ?? [];
const plain = (text: string) =>
  parseAnsi(text)
    .map((line) => line.map((span) => span.text).join(""))
    .join("\n");

test("colours and weights become classes, and a reset ends them", () => {
  expect(one(`${ESC}[1;32mok${ESC}[0m rest`)).toEqual([
    { text: "ok", class: "c-green bold" },
    { text: " rest", class: "" },
  ]);
});

test("a look goes on over line ends", () => {
  const [first, second] = parseAnsi(`${ESC}[31mred\nstill${ESC}[39m not`);
  expect(first).toEqual([{ text: "red", class: "c-red" }]);
  expect(second).toEqual([
    { text: "still", class: "c-red" },
    { text: " not", class: "" },
  ]);
});

test.each([
  ["bright is the same", `${ESC}[91mx`, "c-red"],
  ["black is toned down", `${ESC}[30mx`, "f3"],
  ["bright black is toned down", `${ESC}[90mx`, "f3"],
  ["white is secondary", `${ESC}[37mx`, "f2"],
  ["bold white is primary", `${ESC}[1;37mx`, "fg bold"],
  ["the first sixteen of 256 are the named ones", `${ESC}[38;5;2mx`, "c-green"],
  ["white on red reads red", `${ESC}[37;41m FAIL `, "c-red"],
  ["an inverse keeps its colour", `${ESC}[7;31mx`, "c-red"],
])("%s", (_name, text, expected) => {
  expect(one(text)[0]?.class).toBe(expected);
});

test("a colour of 256 or of 16 million is shown only where it can be read", () => {
  // Yellow is readable on the dark ground alone, navy on the light one alone.
  expect(one(`${ESC}[38;2;255;255;0mx`)[0]?.color).toBe("light-dark(var(--amber), rgb(255 255 0))");
  expect(one(`${ESC}[38;2;0;0;95mx`)[0]?.color).toMatch(/^light-dark\(rgb\(0 0 95\), var\(--/);
  expect(one(`${ESC}[38;5;226mx`)[0]?.color).toBe("light-dark(var(--amber), rgb(255 255 0))");
});

test.each([
  ["cursor movement", `a${ESC}[2Jb${ESC}[10;10Hc`, "abc"],
  ["a window title", `a${ESC}]0;evil title\u0007b`, "ab"],
  ["a link keeps its text only", `${ESC}]8;;https://example.com${ESC}\\click${ESC}]8;;${ESC}\\`, "click"],
  ["a device control string", `a${ESC}Pq#0;2;0;0;0${ESC}\\b`, "ab"],
  ["C1 controls", "a\u009b31mb\u009d0;t\u009cc", "abc"],
  ["a sequence cut at the end", `a${ESC}[3`, "a"],
  ["a lone escape", `a${ESC}`, "a"],
  ["a private mode", `${ESC}[?25la${ESC}[?25h`, "a"],
  ["a parameter that is none", `${ESC}[<31ma`, "a"],
  ["control characters", "a\u0000\u0008\u007fb", "ab"],
  ["characters that turn the order of the rest", "a\u202eb\u2066c", "abc"],
  ["markup stays text", "<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"],
])("dropped: %s", (_name, text, expected) => {
  expect(plain(text)).toBe(expected);
  expect(stripAnsi(text)).toBe(expected);
});

test("a carriage return overwrites the line, and a Windows line end does not", () => {
  expect(plain("10 %\r50 %\r100 %\ndone\r\nnext")).toBe("100 %\ndone\nnext");
});

test("no input makes a span that is not text in a known class", () => {
  const known = /^(?:(?:fg|f2|f3|bold|italic|under|struck|c-(?:red|green|amber|blue|violet|cyan)) ?)*$/;
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return seed % below;
  };
  const parts = [ESC, "[", "]", "3", "8", ";", ":", "m", "5", "255", "\u009b", "\u0007", "x", "<b>", "\\", "\r", "\n", "K"];
  for (let round = 0; round < 3000; round += 1) {
    const text = Array.from({ length: random(24) }, () => parts[random(parts.length)]).join("");
    for (const span of parseAnsi(text).flat()) {
      expect(span.class).toMatch(known);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be left
      expect(span.text).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      if (span.color)
        expect(span.color).toMatch(
          /^light-dark\((?:rgb\(\d+ \d+ \d+\)|var\(--[a-z0-9-]+\)), (?:rgb\(\d+ \d+ \d+\)|var\(--[a-z0-9-]+\))\)$/,
        );
    }
  }
});
