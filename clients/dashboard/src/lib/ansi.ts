/** A piece of a line in one look. `class` is from the list below; `color` is a CSS colour for each theme. */
export interface AnsiSpan {
  text: string;
  class: string;
  color?: string;
}

/** The looks that text from an agent can have. Nothing else of what it says about itself is kept. */
interface Look {
  fg: Colour | undefined;
  bg: Colour | undefined;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  struck: boolean;
}

/** One of the eight, or a colour by its parts. */
type Colour = number | readonly [number, number, number];

const PLAIN: Look = { fg: undefined, bg: undefined, bold: false, dim: false, italic: false, underline: false, struck: false };

const ESC = "\u001b";
// Escape sequences, whole ones and those that the end of the text cuts: CSI with its parameters; OSC, DCS, SOS, PM and APC
// up to their end; two-character ones. The C1 controls begin the same with one character.
const SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  /(?:\u001b\[|\u009b)([0-?]*)([ -/]*)([@-~]?)|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]?/g;
// What is left and would not be seen, or would change the order in which the rest is read.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Reads terminal output as lines of plain text in looks. Of all escape sequences only colours and weights (SGR) count;
 * every other one is dropped. What a carriage return would overwrite is gone, so that progress bars are one line.
 */
export function parseAnsi(text: string): AnsiSpan[][] {
  const lines: AnsiSpan[][] = [];
  let look = PLAIN;
  for (const raw of text.replaceAll("\r\n", "\n").split("\n")) {
    const [line, after] = parseLine(raw, look);
    lines.push(line);
    look = after;
  }
  return lines;
}

/** Terminal output without any of its looks. */
export function stripAnsi(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(SEQUENCE, "").replace(UNSEEN, "");
}

function parseLine(raw: string, before: Look): [AnsiSpan[], Look] {
  let spans: AnsiSpan[] = [];
  let look = before;
  const add = (piece: string) => {
    const parts = piece.split("\r");
    for (const [at, part] of parts.entries()) {
      const text = part.replace(UNSEEN, "");
      // A return to the start of the line takes away what stood there, once something new is written.
      if (at > 0 && text) spans = [];
      if (text) push(spans, text, look);
    }
  };
  if (!raw.includes(ESC) && !/[\u0080-\u009f]/.test(raw)) {
    add(raw);
    return [spans, look];
  }
  let from = 0;
  for (const found of raw.matchAll(SEQUENCE)) {
    add(raw.slice(from, found.index));
    from = found.index + found[0].length;
    const [, parameters, between, final] = found;
    if (final === "m" && between === "" && parameters !== undefined && /^[0-9;:]*$/.test(parameters)) look = select(look, parameters);
  }
  add(raw.slice(from));
  return [spans, look];
}

function push(spans: AnsiSpan[], text: string, look: Look): void {
  const span = { text, ...shown(look) };
  const last = spans.at(-1);
  if (last && last.class === span.class && last.color === span.color) last.text += text;
  else spans.push(span);
}

/** Applies the parameters of an SGR sequence. */
function select(look: Look, parameters: string): Look {
  const next = { ...look };
  const codes = parameters.split(/[;:]/).map((one) => (one === "" ? 0 : Number(one)));
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? 0;
    if (code === 0) Object.assign(next, PLAIN);
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 9) next.struck = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code === 29) next.struck = false;
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code === 39) next.fg = undefined;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code === 49) next.bg = undefined;
    else if (code >= 90 && code <= 97) next.fg = code - 90 + 8;
    else if (code >= 100 && code <= 107) next.bg = code - 100 + 8;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, at + 1);
      if (colour !== undefined) next[code === 38 ? "fg" : "bg"] = colour;
      at += used;
    }
  }
  return next;
}

/** `5;n` or `2;r;g;b` after 38 or 48: the colour, and how many codes it took. */
function extended(codes: readonly number[], at: number): [Colour | undefined, number] {
  const byte = (index: number) => Math.min(255, codes[index] ?? 0);
  if (codes[at] === 5) return [indexed(byte(at + 1)), 2];
  if (codes[at] === 2) return [[byte(at + 1), byte(at + 2), byte(at + 3)], 4];
  return [undefined, codes.length];
}

/** A colour of the 256: sixteen named ones, a cube of six a side, a ramp of grey. */
function indexed(index: number): Colour {
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return [grey, grey, grey];
  }
  const step = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  const cube = index - 16;
  return [step(Math.floor(cube / 36)), step(Math.floor(cube / 6) % 6), step(cube % 6)];
}

const NAMES = ["f3", "c-red", "c-green", "c-amber", "c-blue", "c-violet", "c-cyan", "f2"];

function shown(look: Look): { class: string; color?: string } {
  const classes: string[] = [];
  // Backgrounds are not drawn. Where the text itself would say nothing, it takes the colour of its background: ` FAIL `.
  const colour = look.bg !== undefined && isQuiet(look.fg) ? look.bg : look.fg;
  let color: string | undefined;
  if (typeof colour === "number") {
    if (colour % 8 === 7 && look.bold) classes.push("fg");
    else classes.push(NAMES[colour % 8] ?? "f2");
  } else if (colour) color = `light-dark(${readable(colour, "light")}, ${readable(colour, "dark")})`;
  if (look.bold) classes.push("bold");
  if (look.dim && colour === undefined) classes.push("f3");
  if (look.italic) classes.push("italic");
  if (look.underline) classes.push("under");
  if (look.struck) classes.push("struck");
  return color === undefined ? { class: classes.join(" ") } : { class: classes.join(" "), color };
}

/** Black, white or nothing: a text that is meant to be read on a coloured background. */
function isQuiet(colour: Colour | undefined): boolean {
  return colour === undefined || (typeof colour === "number" && (colour % 8 === 0 || colour % 8 === 7));
}

type Rgb = readonly [number, number, number];

// The background of a terminal, and the colours that a faint one is replaced by, as in tokens.css.
const GROUND: Record<"light" | "dark", Rgb> = { light: [0xf8, 0xf6, 0xf3], dark: [0x11, 0x0f, 0x0e] };
const NEAREST: readonly (readonly [string, Rgb])[] = [
  ["--red", [205, 49, 49]],
  ["--green", [49, 170, 80]],
  ["--amber", [200, 160, 40]],
  ["--blue", [60, 110, 210]],
  ["--violet", [150, 80, 200]],
  ["--cyan", [40, 160, 180]],
  ["--fg-3", [128, 128, 128]],
  ["--fg-3", [0, 0, 0]],
  ["--fg-2", [255, 255, 255]],
];
const LEAST_CONTRAST = 4.5;

/** A colour as it is where it can be read on this theme, else the nearest of the eight. */
function readable(colour: Rgb, theme: "light" | "dark"): string {
  if (contrast(colour, GROUND[theme]) >= LEAST_CONTRAST) return `rgb(${colour.join(" ")})`;
  let best = "--fg-2";
  let least = Number.POSITIVE_INFINITY;
  for (const [name, other] of NEAREST) {
    const distance = (colour[0] - other[0]) ** 2 + (colour[1] - other[1]) ** 2 + (colour[2] - other[2]) ** 2;
    if (distance < least) [best, least] = [name, distance];
  }
  return `var(${best})`;
}

function contrast(one: Rgb, other: Rgb): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

function luminance([r, g, b]: Rgb): number {
  const part = (value: number) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
}
