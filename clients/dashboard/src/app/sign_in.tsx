import { RepriseError } from "@reprise/client";
import { useState } from "preact/hooks";
import { Button } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { Check, TextField } from "../components/form.tsx";
import { Icon } from "../components/icon.tsx";
import { signIn, signInReason } from "../data/session.ts";
import { useTitle } from "./title.ts";

/** Asks for an API key. The address stays as it is, so that the person comes to the page they wanted. */
export function SignIn() {
  useTitle("Sign in");
  const [key, setKey] = useState("");
  const [remember, setRemember] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<RepriseError>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await signIn(key, remember);
    } catch (thrown) {
      setError(RepriseError.from(thrown));
      setBusy(false);
    }
  };
  const refused = error?.reason === "KEY_INVALID" || error?.reason === "KEY_MISSING";
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <h1 class="mark">
          <Icon name="rep" />
          Reprise
        </h1>
        {signInReason.value && <p class="f2">{signInReason.value}</p>}
        <TextField
          label="API key"
          type="password"
          name="api-key"
          autoFocus
          value={key}
          onInput={setKey}
          help="Printed when the server starts for the first time; `reprise dashboard` makes a link instead."
          error={refused ? "The server does not know this key." : undefined}
        />
        <Check label="Keep it until this tab is closed" checked={remember} onChange={setRemember} />
        {!refused && <ErrorNotice error={error} />}
        <Button type="submit" primary busy={busy} disabled={!key.trim()}>
          Sign in
        </Button>
      </form>
    </main>
  );
}
