import { signal } from "@preact/signals";

const query = typeof matchMedia === "undefined" ? undefined : matchMedia("(max-width: 720px)");

/** Whether the screen is narrow, for what a style sheet cannot decide. */
export const narrow = signal(query?.matches ?? false);
query?.addEventListener("change", (event) => {
  narrow.value = event.matches;
});
