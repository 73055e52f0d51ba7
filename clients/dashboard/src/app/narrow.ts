import { signal } from "@preact/signals";

function follow(media: string) {
  const query = typeof matchMedia === "undefined" ? undefined : matchMedia(media);
  const found = signal(query?.matches ?? false);
  query?.addEventListener("change", (event) => {
    found.value = event.matches;
  });
  return found;
}

/** Whether the screen is narrow, for what a style sheet cannot decide. */
export const narrow = follow("(max-width: 720px)");
/** Whether there is no room for a list beside what it opens. */
export const tight = follow("(max-width: 1100px)");
