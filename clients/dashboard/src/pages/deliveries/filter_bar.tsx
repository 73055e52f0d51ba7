import type { Delivery } from "@reprise/client";
import { useEffect, useId, useState } from "preact/hooks";
import { query, queryAll, setQuery } from "../../app/router.ts";
import { Choice, Find } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { reprise } from "../../data/api.ts";
import { useQuery } from "../../data/query.ts";
import { shortId } from "../../lib/format.ts";
import { actorName, originOptions, outcomeOptions } from "./filters.ts";

/** The filters of the list; each stands in the address. */
export function FilterBar({ rows }: { rows: readonly Delivery[] }) {
  const triggers = useQuery(["triggers"], async (signal) => (await reprise.triggers.listTriggers({ pageSize: 500 }, { signal })).triggers);
  const slugs = new Set((triggers.data ?? []).map((one) => one.slug));
  const chosen = query("trigger");
  if (chosen) slugs.add(chosen);
  const session = query("session");
  return (
    <>
      <FindRows />
      <Choice
        label="All triggers"
        value={chosen}
        options={[...slugs].sort().map((slug) => ({ value: slug, label: slug }))}
        onChange={(trigger) => setQuery({ trigger })}
      />
      <OutcomeChoice />
      <Choice label="All origins" value={query("origin")} options={originOptions} onChange={(origin) => setQuery({ origin })} />
      <ExactFilter name="kind" label="event kind" known={rows.map((row) => row.eventKind)} />
      <ExactFilter name="actor" label="actor" known={rows.map(actorName)} />
      {session && (
        <button type="button" class="chip" title={session} onClick={() => setQuery({ session: undefined })}>
          session {shortId(session)}
          <Icon name="close" />
          <span class="sr">remove this filter</span>
        </button>
      )}
    </>
  );
}

/** Narrows what is shown as one types; it never asks the server. */
export function FindRows() {
  return <Find value={query("q")} label="thread, actor, id, outcome" onInput={(q) => setQuery({ q })} />;
}

/** One outcome, or all. Several in the address stay until another is chosen. */
export function OutcomeChoice() {
  const chosen = queryAll("outcome");
  const several = chosen.length > 1 ? [{ value: "several", label: `${chosen.length} outcomes` }] : [];
  return (
    <Choice
      label="All outcomes"
      value={chosen.length > 1 ? "several" : (chosen[0] ?? "")}
      options={[...several, ...outcomeOptions]}
      onChange={(outcome) => outcome !== "several" && setQuery({ outcome })}
    />
  );
}

/** A word that the server compares exactly: taken with Enter, on leaving, or when one of the known is chosen. */
function ExactFilter({ name, label, known }: { name: string; label: string; known: readonly string[] }) {
  const id = useId();
  const value = query(name);
  const words = [...new Set(known)].filter(Boolean).sort();
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  const take = (word: string) => setQuery({ [name]: word.trim() });
  return (
    <label class={`find exact${value ? " is-set" : ""}`}>
      <input
        type="text"
        list={id}
        value={typed}
        placeholder={label}
        aria-label={label}
        spellcheck={false}
        onChange={(event) => take(event.currentTarget.value)}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          // A word chosen from the list, or the field emptied: there is nothing more to type.
          const chosen = (event as unknown as InputEvent).inputType === "insertReplacementText";
          if (chosen || event.currentTarget.value === "") take(event.currentTarget.value);
        }}
      />
      <datalist id={id}>
        {words.map((word) => (
          <option key={word} value={word} />
        ))}
      </datalist>
    </label>
  );
}
