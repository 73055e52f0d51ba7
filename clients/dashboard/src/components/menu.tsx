import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

/** An entry of a menu. */
export interface MenuItem {
  label: string;
  /** A sentence under the name. */
  help?: string;
  danger?: boolean;
  disabled?: boolean;
  run: () => void;
}

/** A button that opens a menu. `↑ ↓` walk, Escape closes; the focus goes back to the button. `openRef` opens it from a key. */
export function MenuButton({
  label,
  items,
  disabled = false,
  busy = false,
  title,
  openRef,
}: {
  label: string;
  items: readonly MenuItem[];
  disabled?: boolean;
  busy?: boolean;
  title?: string | undefined;
  openRef?: { current: (() => void) | null };
}) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLSpanElement>(null);
  const close = (back: boolean) => {
    setOpen(false);
    if (back) box.current?.querySelector<HTMLElement>(":scope > button")?.focus();
  };
  if (openRef) openRef.current = disabled || busy ? null : () => setOpen(true);
  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>("[role=menuitem]:not(:disabled)")?.focus();
    const outside = (event: MouseEvent) => {
      if (!(event.target instanceof Node) || !box.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);
  const walk = (event: KeyboardEvent) => {
    if (!open) return;
    if (event.key === "Tab") return setOpen(false);
    if (event.key === "Escape") close(true);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const all = [...(box.current?.querySelectorAll<HTMLElement>("[role=menuitem]:not(:disabled)") ?? [])];
      const at = all.indexOf(document.activeElement as HTMLElement) + (event.key === "ArrowDown" ? 1 : -1);
      all[(at + all.length) % all.length]?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <span class="menu-box" ref={box} onKeyDown={walk}>
      <button
        type="button"
        class="btn"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-busy={busy}
        disabled={disabled || busy}
        title={title}
        onClick={() => setOpen(!open)}
      >
        {label}
        <Icon name="menu" />
      </button>
      {open && (
        <div class="menu-list" role="menu" aria-label={label}>
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              class={item.danger ? "danger" : ""}
              disabled={item.disabled}
              onClick={() => {
                close(true);
                item.run();
              }}
            >
              <span>{item.label}</span>
              {item.help && <small>{item.help}</small>}
            </button>
          ))}
        </div>
      )}
    </span>
  );
}
