import { useState } from "preact/hooks";
import { plural } from "../lib/format.ts";
import { BigNumber, type Json, pathOf } from "../lib/json.ts";
import { Icon } from "./icon.tsx";

interface TreeProps {
  value: Json;
  /** What stands before the paths: `event`. */
  root?: string;
  /** Levels that are open at first. */
  openLevels?: number;
  /** A press on a name: its path and value, to put into an expression. Without it the names are text. */
  onPick?: (path: string, value: Json) => void;
}

const MOST_CHILDREN = 100;
const LONGEST_TEXT = 300;

/** A JSON value as a tree that opens; text in it is only ever text. */
export function JsonTree({ value, root = "", openLevels = 1, onPick }: TreeProps) {
  return (
    <div class="json m" role="tree" aria-label="JSON">
      <Node value={value} path={root} open={openLevels} onPick={onPick} />
    </div>
  );
}

interface NodeProps {
  name?: string | number;
  value: Json;
  path: string;
  open: number;
  onPick: TreeProps["onPick"];
}

function Node({ name, value, path, open, onPick }: NodeProps) {
  const [shown, setShown] = useState(open > 0);
  const [most, setMost] = useState(MOST_CHILDREN);
  const label = name === undefined ? null : <Name name={name} path={path} value={value} onPick={onPick} />;
  if (!isParent(value)) {
    return (
      <div class="leaf" role="treeitem">
        {label}
        <Leaf value={value} />
      </div>
    );
  }
  const children: (readonly [string | number, Json])[] = Array.isArray(value)
    ? value.map((one, at) => [at, one] as const)
    : Object.entries(value);
  return (
    <div role="treeitem" aria-expanded={shown}>
      <div class="leaf">
        <button
          type="button"
          class="twist"
          aria-label={shown ? "Close" : "Open"}
          onClick={() => setShown(!shown)}
          data-open={shown || undefined}
        >
          <Icon name="chevron" />
        </button>
        {label}
        <span class="f3">{Array.isArray(value) ? plural(children.length, "item") : plural(children.length, "field")}</span>
      </div>
      {shown && (
        <div class="children" role="group">
          {children.slice(0, most).map(([step, child]) => (
            <Node key={step} name={step} value={child} path={pathOf(path, step)} open={open - 1} onPick={onPick} />
          ))}
          {children.length > most && (
            <button type="button" class="f2 plain" onClick={() => setMost(most * 10)}>
              {plural(children.length - most, "more item", "more items")}
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function Name({ name, path, value, onPick }: { name: string | number; path: string; value: Json; onPick: TreeProps["onPick"] }) {
  if (!onPick) return <span class="name">{name}</span>;
  return (
    <button type="button" class="name" title={path.replace(/^\./, "")} onClick={() => onPick(path.replace(/^\./, ""), value)}>
      {name}
    </button>
  );
}

function Leaf({ value }: { value: null | boolean | number | string | BigNumber }) {
  const [whole, setWhole] = useState(false);
  if (typeof value === "string") {
    const cut = !whole && value.length > LONGEST_TEXT;
    return (
      <span class="text">
        {JSON.stringify(cut ? value.slice(0, LONGEST_TEXT) : value)}
        {cut && (
          <button type="button" class="f2 plain" onClick={() => setWhole(true)}>
            … {plural(value.length - LONGEST_TEXT, "more character")}
          </button>
        )}
      </span>
    );
  }
  return <span class="c-blue">{value instanceof BigNumber ? value.text : String(value)}</span>;
}

function isParent(value: Json): value is Json[] | { [name: string]: Json } {
  return typeof value === "object" && value !== null && !(value instanceof BigNumber);
}
