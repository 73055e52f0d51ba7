import { type Delivery, newId, Source, type SourceInfo, type Trigger } from "@reprise/client";
import { useState } from "preact/hooks";
import { useUnsaved } from "../../app/guard.ts";
import { hrefs } from "../../app/routes.ts";
import { Button, Empty } from "../../components/basics.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { Check, fieldError, NumberField, TextField } from "../../components/form.tsx";
import { Age, CopyBlock, CopyButton, When } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useAction, useQuery } from "../../data/query.ts";
import { toMs } from "../../lib/format.ts";
import { Words } from "../deliveries/path.tsx";
import { span } from "./draft.ts";
import { stepText, testCommand } from "./steps.ts";

/** A secret that was made just now; it is nowhere else, and is forgotten with the page. */
export interface MadeSecret {
  triggerId: string;
  secret: string;
  warnings: readonly string[];
}

/** How the sender gets to know this trigger: its address, its secret, and what to press there. */
export function SetUp({
  trigger,
  info,
  made,
  onTrigger,
  onMade,
}: {
  trigger: Trigger;
  info: SourceInfo | undefined;
  made: MadeSecret | undefined;
  onTrigger: (trigger: Trigger) => void;
  onMade: (made: MadeSecret | undefined) => void;
}) {
  const [rotating, setRotating] = useState<"secret" | "token">();
  useUnsaved(made !== undefined, `the signing secret of \`${trigger.slug}\`: it is not shown again`);
  const arrived = useQuery(
    ["arrived", trigger.id],
    async (signal) => (await reprise.triggers.listDeliveries({ triggerId: trigger.id, pageSize: 1 }, { signal })).deliveries[0],
    5000,
  );
  if (!trigger.webhookUrl)
    return (
      <Empty
        text="This trigger has no sender: it runs when somebody fires it."
        command={<CopyBlock text={`reprise trigger fire ${trigger.slug} --sample message`} />}
        link={{ href: "?tab=try", label: "Fire it from here" }}
      />
    );
  return (
    <div class="form set-up">
      {made && <Made made={made} onDone={() => onMade(undefined)} />}
      <h2>Address</h2>
      <CopyBlock text={trigger.webhookUrl} />
      <p class="help">
        Its last part is the hook token: whoever knows it can knock, so treat it as a secret.{" "}
        <button type="button" class="plain" onClick={() => setRotating("token")}>
          Make a new address…
        </button>
      </p>
      <h2>Signing secrets</h2>
      <Secrets trigger={trigger} />
      <div>
        <Button onClick={() => setRotating("secret")}>{trigger.secrets.length === 0 ? "Give a secret…" : "Rotate secret…"}</Button>
      </div>
      <h2>At {info?.title ?? "the sender"}</h2>
      <ol class="steps">
        {(info?.setupSteps ?? []).map((step) => (
          <li key={step}>
            <Words text={stepText(step, trigger)} />
          </li>
        ))}
      </ol>
      <Arrived trigger={trigger} last={arrived.data} known={arrived.data !== undefined || !arrived.loading} />
      {rotating && (
        <Rotate
          trigger={trigger}
          info={info}
          token={rotating === "token"}
          onClose={() => setRotating(undefined)}
          onDone={(changed, secret) => {
            onTrigger(changed);
            if (secret) onMade({ triggerId: changed.id, secret, warnings: [] });
            setRotating(undefined);
          }}
        />
      )}
    </div>
  );
}

/** Whether the sender has been heard, and until then how to try it. */
function Arrived({ trigger, last, known }: { trigger: Trigger; last: Delivery | undefined; known: boolean }) {
  if (!known) return null;
  if (last) {
    return (
      <p class="f2" role="status">
        The last webhook came <Age ms={toMs(last.receiveTime)} suffix=" ago" />:{" "}
        <a href={hrefs.delivery(last.id)}>{last.eventKind || "event"}</a>
      </p>
    );
  }
  const command = testCommand(trigger);
  return (
    <>
      <p class="f2" role="status">
        No webhook has arrived yet; this line changes when one does.
        {command &&
          ` To try address and secret from a shell, with the secret in $SECRET (${trigger.source === Source.GITHUB ? "a ping, which never runs" : "an event like any other, so your rules decide"}):`}
      </p>
      {command && <CopyBlock text={command} />}
    </>
  );
}

function Made({ made, onDone }: { made: MadeSecret; onDone: () => void }) {
  return (
    <section class="made" aria-label="New signing secret">
      <h3>The signing secret, shown this once</h3>
      <div class="copy-block">
        <pre class="pre" data-testid="secret">
          {made.secret}
        </pre>
        <CopyButton text={made.secret} label="Copy" />
      </div>
      <p class="help">Reprise keeps it sealed and never shows it again. If it is lost, rotate it.</p>
      {made.warnings.map((warning) => (
        <p key={warning} class="c-amber">
          {warning}
        </p>
      ))}
      <div>
        <Button onClick={onDone}>I have stored it</Button>
      </div>
    </section>
  );
}

function Secrets({ trigger }: { trigger: Trigger }) {
  if (trigger.secrets.length === 0)
    return <p class="c-amber">None yet: webhooks are refused until this trigger knows the secret that the sender issued.</p>;
  return (
    <ul class="secrets">
      {trigger.secrets.map((secret) => (
        <li key={secret.id}>
          <code>…{secret.hint}</code>
          <span class="f2">
            added <Age ms={toMs(secret.createTime)} /> ago
          </span>
          <span class="f2">
            {secret.lastMatchTime ? (
              <>
                verified a webhook <Age ms={toMs(secret.lastMatchTime)} /> ago
              </>
            ) : (
              "has verified nothing yet"
            )}
          </span>
          {secret.expireTime && (
            <span class="c-amber">
              ends <When ms={toMs(secret.expireTime)} />
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

function Rotate({
  trigger,
  info,
  token,
  onClose,
  onDone,
}: {
  trigger: Trigger;
  info: SourceInfo | undefined;
  token: boolean;
  onClose: () => void;
  onDone: (trigger: Trigger, secret: string) => void;
}) {
  const issued = info?.needsProviderSecret === true;
  const [own, setOwn] = useState(issued);
  const [secret, setSecret] = useState("");
  const [hours, setHours] = useState<number | undefined>(24);
  const [newAddress, setNewAddress] = useState(token);
  const [requestId] = useState(newId);
  const rotate = useAction(async () => {
    const answer = await reprise.triggers.rotateTriggerSecret({
      triggerId: trigger.id,
      hookToken: newAddress,
      requestId,
      ...(own ? { secret: secret.trim() } : {}),
      ...(hours === undefined ? {} : { overlap: span(hours * 3600) }),
    });
    if (answer.trigger) onDone(answer.trigger, answer.secret);
  });
  const two = trigger.secrets.length > 1;
  return (
    <Dialog
      title={token ? "Make a new address" : trigger.secrets.length === 0 ? "Give the signing secret" : "Rotate the signing secret"}
      onClose={onClose}
      end={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button primary busy={rotate.busy} disabled={own && secret.trim() === ""} onClick={() => void rotate.run()}>
            {newAddress ? "Change address and secret" : "Change secret"}
          </Button>
        </>
      }
    >
      {two && <p class="c-amber">Two secrets are active already. The older one must end before a third can be added.</p>}
      <Check
        label={issued ? `Use the secret that ${info?.title ?? "the sender"} shows` : "Use a secret that the sender issued"}
        help="Otherwise Reprise makes one and shows it once."
        checked={own}
        onChange={setOwn}
        disabled={issued}
      />
      {own && (
        <TextField
          label="Secret"
          type="password"
          value={secret}
          onInput={setSecret}
          error={fieldError(rotate.error, "secret")}
          help="8 to 1,024 characters, as the sender shows it."
        />
      )}
      {trigger.secrets.length > 0 && (
        <NumberField
          label="Accept the old secret for"
          unit="hours"
          value={hours}
          onInput={setHours}
          min={0}
          error={fieldError(rotate.error, "overlap")}
          help="So that nothing is lost until the sender uses the new one. 0: it ends now."
        />
      )}
      <Check
        label="Make a new address too"
        help="The old address stops working at once; webhooks sent there are refused with 401 until the sender has the new one."
        checked={newAddress}
        onChange={setNewAddress}
      />
      {rotate.error && rotate.error.fields.length === 0 && <ErrorNotice error={rotate.error} />}
    </Dialog>
  );
}
