import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

/** One act of a menu. */
export interface MenuItem {
  label: string;
  /** What it does, in a few words. */
  hint?: string;
  onChoose: () => void;
  danger?: boolean;
  disabled?: boolean;
}

/** A button that opens a menu: `↑` `↓` walk, Enter chooses, Escape closes. `openRef` is given what opens it, for a key. */
export function MenuButton({
  label,
  items,
  busy = false,
  primary = false,
  openRef,
}: {
  label: ComponentChildren;
  items: readonly MenuItem[];
  busy?: boolean;
  primary?: boolean;
  openRef?: { current: (() => void) | null };
}) {
  const id = useId();
  const box = useRef<HTMLSpanElement>(null);
  const [open, setOpen] = useState(false);
  const close = (back: boolean) => {
    setOpen(false);
    if (back) box.current?.querySelector("button")?.focus();
  };
  if (openRef) openRef.current = busy ? null : () => setOpen(true);
  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>('[role="menuitem"]:not(:disabled)')?.focus();
    const outside = (event: Event) => {
      if (event.target instanceof Node && !box.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);
  const onKey = (event: KeyboardEvent) => {
    if (!open) return;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (event.key === "Escape") close(true);
    else if (event.key === "Tab") close(false);
    else if (step !== 0) {
      const all = [...(box.current?.querySelectorAll<HTMLElement>('[role="menuitem"]:not(:disabled)') ?? [])];
      const at = all.indexOf(document.activeElement as HTMLElement);
      all[(at + step + all.length) % all.length]?.focus();
    } else return;
    if (event.key !== "Tab") event.preventDefault();
    event.stopPropagation();
  };
  return (
    <span class="menu-box" ref={box} onKeyDown={onKey}>
      <button
        type="button"
        class={`btn${primary ? " primary" : ""}`}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        disabled={busy}
        onClick={() => setOpen(!open)}
      >
        {label}
        <Icon name="menu" />
      </button>
      {open && (
        <div class="menu-list" role="menu" id={id}>
          {items.map((item) => (
            <button
              type="button"
              key={item.label}
              role="menuitem"
              tabIndex={-1}
              class={item.danger ? "danger" : ""}
              disabled={item.disabled}
              onClick={() => {
                close(true);
                item.onChoose();
              }}
            >
              {item.label}
              {item.hint && <small>{item.hint}</small>}
            </button>
          ))}
        </div>
      )}
    </span>
  );
}
