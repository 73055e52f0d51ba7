import { signal } from "@preact/signals";

/** Whether somebody can see this tab. Hidden tabs hold no streams and fetch nothing. */
export const visible = signal(typeof document === "undefined" || document.visibilityState !== "hidden");

/** Listens to the browser. Called once. */
export function startVisible(): void {
  document.addEventListener("visibilitychange", () => {
    visible.value = document.visibilityState !== "hidden";
  });
}
