import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeAll, expect, test } from "vitest";
import { keyGroups, startKeys, useKeys } from "../src/app/keys.ts";
import { hits } from "../src/components/highlight.tsx";
import { MenuButton } from "../src/components/menu.tsx";

const pressed: string[] = [];
const press = (key: string, init: KeyboardEventInit = {}, target: EventTarget = document.body) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init }));

function Keys() {
  const action = (name: string, always = false) => ({ label: name, always, run: () => void pressed.push(name) });
  useKeys("Test", { "g n": action("now"), n: action("newer"), "?": action("map"), "mod+k": action("search", true) });
  return <input />;
}

let root: HTMLElement;
async function show(what: preact.ComponentChild) {
  root = document.createElement("div");
  document.body.append(root);
  await act(() => render(what, root));
}

beforeAll(() => startKeys());
afterEach(async () => {
  await act(() => render(null, root));
  root.remove();
  pressed.length = 0;
});

test("one key, one after the other, and with a modifier", async () => {
  await show(<Keys />);
  for (const key of ["n", "g", "n", "n", "?"]) press(key);
  press("k", { ctrlKey: true });
  expect(pressed).toEqual(["newer", "now", "newer", "map", "search"]);
});

test("while somebody types, only keys with a modifier count", async () => {
  await show(<Keys />);
  const input = root.querySelector("input") as HTMLInputElement;
  press("n", {}, input);
  press("k", { metaKey: true }, input);
  expect(pressed).toEqual(["search"]);
});

test("keys leave the map with their component", async () => {
  await show(<Keys />);
  expect(keyGroups.value).toHaveLength(1);
  await act(() => render(null, root));
  press("n");
  expect([keyGroups.value.length, pressed.length]).toEqual([0, 0]);
});

test("a menu opens on its first act, walks, chooses, and gives the focus back", async () => {
  const chosen: string[] = [];
  const item = (label: string) => ({ label, onChoose: () => void chosen.push(label) });
  await show(<MenuButton label="Cancel" items={[item("After this step"), { ...item("Never"), disabled: true }, item("Now")]} />);
  const button = root.querySelector("button") as HTMLButtonElement;
  await act(() => button.click());
  expect(document.activeElement?.textContent).toBe("After this step");
  await act(() => void press("ArrowDown", {}, document.activeElement as Element));
  expect(document.activeElement?.textContent).toBe("Now");
  await act(() => (document.activeElement as HTMLElement).click());
  expect([chosen, root.querySelector("[role=menu]"), document.activeElement]).toEqual([["Now"], null, button]);
  await act(() => button.click());
  await act(() => void press("Escape", {}, document.activeElement as Element));
  expect(root.querySelector("[role=menu]")).toBeNull();
});

test("hits are found without regard to case, and places stay true", () => {
  expect(hits("Jitter and jitter", "JITTER")).toEqual([0, 11]);
  expect(hits("aaa", "aa")).toEqual([0]);
  expect(hits("İ jitter", "jitter")).toEqual([2]);
  expect(hits("text", "")).toEqual([]);
});
