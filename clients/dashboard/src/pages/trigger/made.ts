import { signal } from "@preact/signals";
import type { MadeSecret } from "./set_up.tsx";

/** The secret of a trigger that was made just now, on its way from the form to the page of the trigger. */
export const justMade = signal<MadeSecret | undefined>(undefined);
