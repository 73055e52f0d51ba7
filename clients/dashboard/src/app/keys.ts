import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

/** What a key does. */
export interface KeyAction {
  /** For the map that `?` shows. */
  label: string;
  run: (event: KeyboardEvent) => void;
  /** Works in text fields too; only for keys with a modifier. */
  always?: boolean;
}

/** Keys by their names: `g n` is one after the other, `mod+k` is ⌘ or Ctrl. */
export type KeyTable = Record<string, KeyAction>;

interface Group {
  title: string;
  table: { current: KeyTable };
}

/** Everything that keys do now, for the map. The last one that names a key has it. */
export const keyGroups = signal<readonly Group[]>([]);

/** Gives keys to a component as long as it is shown. */
export function useKeys(title: string, table: KeyTable): void {
  const latest = useRef(table);
  latest.current = table;
  // What is seen can be pressed: an effect after the paint would be too late for a quick hand.
  useLayoutEffect(() => {
    const group = { title, table: latest };
    keyGroups.value = [...keyGroups.peek(), group];
    return () => {
      keyGroups.value = keyGroups.peek().filter((one) => one !== group);
    };
  }, [title]);
}

/** A key as this machine's keyboard names it: `mod+k` is ⌘K or Ctrl K. */
export function keyLabel(name: string): string {
  const mod = /Mac|iP(hone|ad)/.test(navigator.userAgent) ? "⌘" : "Ctrl ";
  const named: Record<string, string> = { arrowup: "↑", arrowdown: "↓", enter: "Enter", escape: "Esc" };
  return name.startsWith("mod+") ? mod + name.slice(4).toUpperCase() : (named[name] ?? name);
}

const SEQUENCE_MS = 1200;

/** Listens to the keyboard. Called once. */
export function startKeys(): void {
  let first = "";
  let since = 0;
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const name = keyName(event);
    const typing = isTyping(event.target);
    const pair = first && event.timeStamp - since < SEQUENCE_MS ? `${first} ${name}` : "";
    first = "";
    // Enter and space mean what the button or link says that has the focus.
    if ((name === "enter" || name === " ") && isPressable(event.target)) return;
    const action = (pair && find(pair)) || find(name);
    if (action && (!typing || action.always) && (!modalOpen() || action.always)) {
      event.preventDefault();
      action.run(event);
      return;
    }
    if (!typing && name.length === 1) [first, since] = [name, event.timeStamp];
  });
}

function find(name: string): KeyAction | undefined {
  const groups = keyGroups.peek();
  for (let at = groups.length - 1; at >= 0; at -= 1) {
    const action = groups[at]?.table.current[name];
    if (action) return action;
  }
  return undefined;
}

function keyName(event: KeyboardEvent): string {
  const key = event.key.length === 1 ? event.key : event.key.toLowerCase();
  if (event.metaKey || event.ctrlKey) return `mod+${key.toLowerCase()}`;
  return event.altKey ? `alt+${key}` : key;
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "submit"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

function isPressable(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("a[href], button, summary, [role=button], [role=menuitem]") !== null;
}

function modalOpen(): boolean {
  return document.querySelector("dialog[open]") !== null;
}
