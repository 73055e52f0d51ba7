import { signal } from "@preact/signals";
import { RepriseError, type WhoAmIResponse } from "@reprise/client";

/** Where the sign-in stands. */
export const phase = signal<"starting" | "signed-out" | "signed-in">("starting");
/** Whose key it is. */
export const who = signal<WhoAmIResponse | undefined>(undefined);
/** Why the sign-in page is shown, in a sentence; empty for a first visit. */
export const signInReason = signal("");
/** Whether the key outlives a reload of this tab. */
export const remembered = signal(false);

const NAME = "reprise.key";
const key = signal<string | undefined>(undefined);

/** The API key, for the transport alone. It is kept in memory, and in this tab's storage if the person asks. */
export function currentKey(): string | undefined {
  return key.peek();
}

/** The two calls that a sign-in makes; the API gives them. */
export interface SignInCalls {
  whoAmI: () => Promise<WhoAmIResponse>;
  redeem: (code: string) => Promise<string>;
}

let calls: SignInCalls | undefined;

/** Takes a one-time code out of the address, or a key out of this tab's storage, and signs in with it. Called once. */
export async function startSession(given: SignInCalls): Promise<void> {
  calls = given;
  const code = takeCode();
  try {
    if (code) {
      await signIn(await given.redeem(code), false);
      return;
    }
    const kept = sessionStorage.getItem(NAME);
    if (kept) await signIn(kept, true);
    else phase.value = "signed-out";
  } catch (thrown) {
    const error = RepriseError.from(thrown);
    if (kept(error)) return;
    signInReason.value = code ? codeRefused(error) : signInReason.peek();
    phase.value = "signed-out";
  }
}

/** A key that was not refused but could not be asked about stays: the page comes up when the server does. */
function kept(error: RepriseError): boolean {
  if (!error.transient || key.peek() === undefined) return false;
  phase.value = "signed-in";
  return true;
}

function codeRefused(error: RepriseError): string {
  return error.reason === "CODE_INVALID"
    ? "The sign-in code was used already or is too old. Make a new one, or enter an API key."
    : error.message;
}

/** The code behind `#code=`, which leaves the address before anything else happens. */
export function takeCode(): string | undefined {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code === null) return undefined;
  history.replaceState(history.state, "", location.pathname + location.search);
  return code || undefined;
}

/** Signs in with a key; throws when the server refuses it. */
export async function signIn(value: string, remember: boolean): Promise<void> {
  key.value = value.trim();
  try {
    who.value = await calls?.whoAmI();
  } catch (thrown) {
    if (!RepriseError.from(thrown).transient) forget();
    throw thrown;
  }
  keepKey(remember);
  signInReason.value = "";
  phase.value = "signed-in";
}

/** Whether the key outlives a reload: in this tab's storage, never anywhere else. */
export function keepKey(keep: boolean): void {
  remembered.value = keep;
  const value = key.peek();
  if (keep && value) sessionStorage.setItem(NAME, value);
  else sessionStorage.removeItem(NAME);
}

/** Forgets the key. The address stays, so that the next sign-in leads back to it. */
export function signOut(reason = ""): void {
  forget();
  signInReason.value = reason;
  phase.value = "signed-out";
}

/** A call was refused for its key. Calls that began before the last sign-in do not count. */
export function noteRefused(usedKey: string | undefined): void {
  if (usedKey === undefined || usedKey !== key.peek() || phase.peek() !== "signed-in") return;
  signOut("The server no longer takes this key. Sign in again; you come back to this page.");
}

function forget(): void {
  key.value = undefined;
  who.value = undefined;
  remembered.value = false;
  sessionStorage.removeItem(NAME);
}
