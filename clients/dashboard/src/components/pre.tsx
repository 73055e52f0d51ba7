import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** Who scrolls with the keyboard must be able to get there; what fits is no stop on the way. */
const wide =
  typeof ResizeObserver === "undefined"
    ? undefined
    : new ResizeObserver((entries) => {
        for (const { target } of entries) {
          if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
          else target.removeAttribute("tabindex");
        }
      });

/** Text in its own lines, which scrolls sideways when they are long. */
export function Pre({ children, class: look }: { children: ComponentChildren; class?: string }) {
  const element = useRef<HTMLPreElement>(null);
  useEffect(() => {
    const one = element.current;
    if (!one) return;
    wide?.observe(one);
    return () => wide?.unobserve(one);
  }, []);
  return (
    <pre ref={element} class={look}>
      {children}
    </pre>
  );
}
