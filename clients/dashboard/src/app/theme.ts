import { effect, signal } from "@preact/signals";

/** Which colours: those of the system, or one of the two. */
export type Theme = "auto" | "light" | "dark";

const NAME = "reprise.theme";

function stored(): Theme {
  const value = localStorage.getItem(NAME);
  return value === "light" || value === "dark" ? value : "auto";
}

export const theme = signal<Theme>("auto");

/** The next of the three. */
export function switchTheme(): void {
  theme.value = theme.value === "auto" ? "light" : theme.value === "light" ? "dark" : "auto";
}

/** Puts the theme on the page and keeps it over visits. Called once. */
export function startTheme(): void {
  theme.value = stored();
  effect(() => {
    if (theme.value === "auto") {
      delete document.documentElement.dataset["theme"];
      localStorage.removeItem(NAME);
    } else {
      document.documentElement.dataset["theme"] = theme.value;
      localStorage.setItem(NAME, theme.value);
    }
  });
}
