import { type Delivery, DeliveryView, type Header } from "@reprise/client";
import { useMemo, useState } from "preact/hooks";
import { hrefs } from "../../app/routes.ts";
import { Button, Empty, Loading, Segments } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { JsonTree } from "../../components/json_tree.tsx";
import { CopyButton } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useAction } from "../../data/query.ts";
import { formatBytes } from "../../lib/format.ts";
import { type Json, parseJson } from "../../lib/json.ts";

/** The body of a webhook, as far as it was read. */
export interface Body {
  bytes: Uint8Array;
  whole: boolean;
  /** As text; undefined where it is none. */
  text: string | undefined;
  /** As JSON; undefined where it is none, or not read whole. */
  json: Json | undefined;
}

/** Makes what can be shown out of bytes. GitHub's forms hold their JSON in a field named `payload`. */
export function readBody(bytes: Uint8Array, whole: boolean): Body {
  let text: string | undefined;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !whole });
  } catch {
    text = undefined;
  }
  const inner = text?.startsWith("payload=") ? (new URLSearchParams(text).get("payload") ?? undefined) : text;
  return { bytes, whole, text, json: whole && inner !== undefined ? parseJson(inner) : undefined };
}

/** Parts of a body, in order, as one. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Reads what is left of a body, a part of at most 1 MiB after the other. */
async function readRest(delivery: Delivery, from: Uint8Array): Promise<Uint8Array> {
  const parts = [from];
  let offset = BigInt(from.length);
  for (;;) {
    const answer = await reprise.triggers.getDelivery({ deliveryId: delivery.id, view: DeliveryView.FULL, bodyOffset: offset });
    const part = answer.delivery?.body ?? new Uint8Array();
    parts.push(part);
    offset += BigInt(part.length);
    if (!answer.delivery?.bodyTruncated || part.length === 0) return joinBytes(parts);
  }
}

/** The payload as a tree, or as it came. */
export function Payload({ delivery }: { delivery: Delivery }) {
  const [rest, setRest] = useState<Uint8Array>();
  const [view, setView] = useState<"tree" | "text">("tree");
  const [levels, setLevels] = useState(2);
  const load = useAction(async () => setRest(await readRest(delivery, delivery.body)));
  const body = useMemo(() => readBody(rest ?? delivery.body, rest !== undefined || !delivery.bodyTruncated), [delivery.body, rest]);
  if (delivery.body.length === 0 && delivery.duplicateOfDeliveryId) {
    const first = `${hrefs.delivery(delivery.duplicateOfDeliveryId)}?tab=payload`;
    return (
      <Empty text="A repeat's body is kept once, with the delivery that it repeats." link={{ href: first, label: "The payload there" }} />
    );
  }
  if (delivery.body.length === 0) {
    return <Empty text={delivery.bodyBytes > 0n ? "The body is no longer kept; how long it is, is a setting." : "The body is empty."} />;
  }
  const tree = body.json !== undefined && view === "tree";
  return (
    <>
      <div class="tools">
        {body.json !== undefined && (
          <Segments
            label="How the payload is shown"
            options={[
              { value: "tree", label: "Tree" },
              { value: "text", label: "Text" },
            ]}
            value={view}
            onChange={setView}
          />
        )}
        {tree && <Button onClick={() => setLevels(levels > 2 ? 2 : 99)}>{levels > 2 ? "Close all" : "Open all"}</Button>}
        <span class="grow" />
        {body.text !== undefined && body.whole && <CopyButton text={body.text} />}
        <Button onClick={() => download(`${delivery.id}.${body.json === undefined ? "bin" : "json"}`, body.bytes)}>Download</Button>
      </div>
      {!body.whole && (
        <p class="part f2">
          The first {formatBytes(body.bytes.length)} of {formatBytes(delivery.bodyBytes)}; a tree needs the whole.{" "}
          <Button busy={load.busy} onClick={() => void load.run()}>
            Read the rest
          </Button>
        </p>
      )}
      <ErrorNotice error={load.error} />
      {tree && body.json !== undefined ? (
        <JsonTree key={levels} value={body.json} root="payload" openLevels={levels} />
      ) : (
        <pre class="pre raw">{body.text ?? `${formatBytes(body.bytes.length)} that are no text.`}</pre>
      )}
    </>
  );
}

/** Hands bytes to the browser as a file. */
function download(name: string, bytes: Uint8Array): void {
  const url = URL.createObjectURL(new Blob([new Uint8Array(bytes)]));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** The headers in the order received. */
export function Headers({ headers, loading }: { headers: readonly Header[]; loading: boolean }) {
  if (headers.length === 0) return loading ? <Loading /> : <Empty text="There are no headers, or they are no longer kept." />;
  return (
    <table class="why headers">
      <tbody>
        {headers.map(({ name, value }, at) => (
          <tr key={`${at}-${name}`}>
            <th scope="row" class="m">
              {name}
            </th>
            <td class="m f2">{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
