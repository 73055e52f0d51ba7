import { useEffect } from "preact/hooks";
import { ask } from "../components/dialog.tsx";
import { addGuard } from "./router.ts";

/** While `dirty`, leaving the page asks first; `what` names what would be lost: "your changes to `reviews`". */
export function useUnsaved(dirty: boolean, what: string): void {
  useEffect(() => {
    if (!dirty) return;
    const remove = addGuard(() => ask({ title: "Leave without saving?", body: `This loses ${what}.`, confirm: "Leave", danger: true }));
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => {
      remove();
      removeEventListener("beforeunload", warn);
    };
  }, [dirty, what]);
}
