import type { RepriseError } from "@reprise/client";
import { connection } from "../data/connection.ts";
import { Button } from "./basics.tsx";
import { CopyButton } from "./text.tsx";

/** An error with everything one needs to report it: reason, sentence, trace id. */
export function ErrorNotice({ error, onRetry }: { error: RepriseError | undefined; onRetry?: () => void }) {
  // That the server does not answer is said once, by the banner over the page.
  if (!error || (error.transient && !error.reason && connection.value === "down")) return null;
  return (
    <div class="problem" role="alert">
      <span class="st fail" />
      <p>
        {error.reason && <code>{error.reason}</code>} {sentence(error.message)}
        {error.traceId && <small> trace {error.traceId}</small>}
      </p>
      <span class="acts">
        {onRetry && <Button onClick={onRetry}>Try again</Button>}
        <CopyButton text={describe(error)} />
      </span>
    </div>
  );
}

/** An error as text, for a report. */
export function describe(error: RepriseError): string {
  const lines = [`${error.reason || `code ${error.code}`}: ${error.message}`];
  for (const [name, value] of Object.entries(error.metadata)) lines.push(`${name}: ${value}`);
  for (const { field, description } of error.fields) lines.push(`${field}: ${description}`);
  return lines.join("\n");
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
