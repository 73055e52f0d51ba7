import { useEffect } from "preact/hooks";
import { ask } from "../components/dialog.tsx";
import { addGuard, navigate } from "./router.ts";

/** Goes to `to` once it is set, after the guards of the page are gone: for a page whose work is done. */
export function useLeave(to: string | undefined): void {
  useEffect(() => {
    if (to !== undefined) void navigate(to, { replace: true });
  }, [to]);
}

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
