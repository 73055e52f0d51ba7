import { type Delivery, DeliveryView, type ExpressionVariable } from "@reprise/client";
import { useState } from "preact/hooks";
import { Loading } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { JsonTree } from "../../components/json_tree.tsx";
import { reprise } from "../../data/api.ts";
import { useQuery } from "../../data/query.ts";
import { formatWhen, toMs } from "../../lib/format.ts";
import { type Json, parseJson } from "../../lib/json.ts";
import { deliveryOutcome } from "../../lib/words.ts";
import { Words } from "../deliveries/path.tsx";

const RECENT = 25;

/** What expressions can read, with the values of a recent event. A press on a name puts it into the expression. */
export function EventValues({
  triggerId,
  variables,
  onPick,
}: {
  triggerId: string | undefined;
  variables: readonly ExpressionVariable[];
  onPick: (path: string) => void;
}) {
  const recent = useQuery(["recent", triggerId], async (signal) =>
    triggerId ? (await reprise.triggers.listDeliveries({ triggerId, pageSize: RECENT }, { signal })).deliveries : [],
  );
  const [chosen, setChosen] = useState("");
  const kept = (recent.data ?? []).filter((one) => one.bodyBytes > 0n);
  const id = kept.some((one) => one.id === chosen) ? chosen : (kept[0]?.id ?? "");
  return (
    <section class="values" aria-label="Values of an event">
      <header>
        <h3>{id ? "Values of an event" : "What expressions can read"}</h3>
        {id && (
          <select class="input" aria-label="Event" value={id} onChange={(event) => setChosen(event.currentTarget.value)}>
            {kept.map((one) => (
              <option key={one.id} value={one.id} selected={one.id === id}>
                {title(one)}
              </option>
            ))}
          </select>
        )}
      </header>
      <ErrorNotice error={recent.error} />
      {id ? <Values key={id} deliveryId={id} onPick={onPick} /> : <Variables variables={variables} onPick={onPick} />}
    </section>
  );
}

function title(delivery: Delivery): string {
  const what = [delivery.eventKind, delivery.action].filter(Boolean).join(".") || "event";
  const when = formatWhen(toMs(delivery.receiveTime) ?? 0);
  const who = delivery.actor?.login ? ` by ${delivery.actor.login}` : "";
  return `${when} · ${what}${who} · ${deliveryOutcome(delivery.outcome).word}`;
}

function Values({ deliveryId, onPick }: { deliveryId: string; onPick: (path: string) => void }) {
  const { data, error, reload } = useQuery(["values", deliveryId], async (signal) => {
    const answer = await reprise.triggers.getDelivery({ deliveryId, view: DeliveryView.FULL }, { signal });
    return answer.delivery;
  });
  if (error) return <ErrorNotice error={error} onRetry={reload} />;
  if (!data) return <Loading />;
  const { event, payload, headers } = valuesOf(data);
  return (
    <div class="trees">
      <h4 class="m">event</h4>
      <JsonTree value={event} root="event" openLevels={2} onPick={onPick} />
      <h4 class="m">payload</h4>
      {payload === undefined ? (
        <p class="help">
          {data.bodyTruncated ? "Too large to be shown whole." : "Its body is no longer kept, or is no JSON."}{" "}
          <a href={`/deliveries/${data.id}`}>Open the delivery</a>
        </p>
      ) : (
        <JsonTree value={payload} root="payload" onPick={onPick} />
      )}
      <h4 class="m">headers</h4>
      <JsonTree value={headers} root="headers" openLevels={0} onPick={onPick} />
    </div>
  );
}

/** What an expression would have read of a delivery, as far as it is kept. */
export function valuesOf(delivery: Delivery): { event: Json; payload: Json | undefined; headers: Json } {
  const { actor } = delivery;
  const kinds = ["unknown", "user", "bot"];
  const event: Json = {
    kind: delivery.eventKind,
    action: delivery.action,
    actor: { id: actor?.id ?? "", login: actor?.login ?? "", kind: kinds[actor?.kind ?? 0] ?? "unknown" },
    title: delivery.title,
    url: delivery.url,
    thread_key: delivery.threadKey || null,
  };
  const payload =
    delivery.body.length > 0 && !delivery.bodyTruncated ? parseJson(bodyText(new TextDecoder().decode(delivery.body))) : undefined;
  const headers = Object.fromEntries(delivery.headers.map(({ name, value }) => [name.toLowerCase(), value]));
  return { event, payload, headers };
}

/** GitHub may send its JSON as a form field. */
function bodyText(text: string): string {
  return text.startsWith("payload=") ? (new URLSearchParams(text).get("payload") ?? text) : text;
}

function Variables({ variables, onPick }: { variables: readonly ExpressionVariable[]; onPick: (path: string) => void }) {
  return (
    <>
      <p class="help">Once an event has arrived, its values stand here. A press on a name puts it into the expression.</p>
      <dl class="variables">
        {variables.map((one) => (
          <div key={one.name}>
            <dt>
              <button type="button" class="m plain" onClick={() => onPick(one.name)}>
                {one.name}
              </button>{" "}
              <span class="f3">{one.type}</span>
            </dt>
            <dd class="help">
              <Words text={one.help} />
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}
