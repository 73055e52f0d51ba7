import type { JournalEntry, ToolCallEntry, ToolResultEntry } from "@reprise/client";
import { Block, Card, State } from "../../components/basics.tsx";
import { Diff, DiffCount } from "../../components/diff.tsx";
import { JsonTree } from "../../components/json_tree.tsx";
import { Marked } from "../../components/marked.tsx";
import { Pre } from "../../components/pre.tsx";
import { Terminal } from "../../components/terminal.tsx";
import { clock } from "../../components/text.tsx";
import { formatBytes, formatSpan } from "../../lib/format.ts";
import { downloadEntry } from "./download.ts";
import type { Row } from "./rows.ts";
import { editOf, outputOf, readInput, restOf, type ToolState, toolState } from "./tools.ts";
import type { LogView } from "./view.ts";

/** A tool call with its answer: a row that opens. */
export function ToolCard({ row, call, view }: { row: Row; call: ToolCallEntry; view: LogView }) {
  const result = row.result?.kind.case === "toolResult" ? row.result.kind.value : undefined;
  const state = toolState(result, view.ended);
  const diff = row.entry ? editOf(row.entry, row.result) : undefined;
  const rest = diff && state.state !== "failed" ? <DiffCount diff={diff} /> : result && restOf(call.name, result);
  return (
    <Card
      name={call.name}
      argument={<Marked text={call.summary} />}
      rest={<Rest state={state}>{rest}</Rest>}
      duration={<Took state={state} since={row.timeMs} />}
      open={view.isOpen(row)}
      onToggle={(open) => view.toggle(row, open)}
    >
      <Block bad={state.state === "failed" || state.state === "denied"}>
        <CallBody row={row} call={call} result={result} state={state} view={view} />
      </Block>
    </Card>
  );
}

/** An answer whose call is not in the window. */
export function LoneResult({ row, result, view }: { row: Row; result: ToolResultEntry; view: LogView }) {
  const state = toolState(result, true);
  return (
    <Card
      name="Answer"
      argument={<Marked text={outputOf(result).slice(0, 200)} />}
      rest={<Rest state={state} />}
      duration={<Took state={state} since={row.timeMs} />}
      open={view.isOpen(row)}
      onToggle={(open) => view.toggle(row, open)}
    >
      <Block bad={result.isError}>
        <Output entry={row.entry} result={result} view={view} />
      </Block>
    </Card>
  );
}

function Rest({ state, children }: { state: ToolState; children?: preact.ComponentChildren }) {
  if (state.state === "running") return <State mark="live" word={state.word} />;
  if (state.state === "failed" || state.state === "denied") return <State mark="failed" word={state.word} />;
  if (state.state === "unknown") return <span class="f3">{state.word}</span>;
  return <span class="wide">{children}</span>;
}

function Took({ state, since }: { state: ToolState; since: number }) {
  if (state.state === "running") return <>{formatSpan(Math.max(0, Math.floor((clock.value - since) / 1000) * 1000))}</>;
  if (state.ms === undefined) return null;
  return <>{`${state.state === "ok" ? "✓ " : ""}${took(state.ms)}`}</>;
}

/** In a column of times one unit reads best: `0.1 s` even for less. */
function took(ms: number): string {
  return ms < 1000 ? `${(ms / 1000).toFixed(1)} s` : formatSpan(ms);
}

interface BodyProps {
  row: Row;
  call: ToolCallEntry;
  result: ToolResultEntry | undefined;
  state: ToolState;
  view: LogView;
}

function CallBody({ row, call, result, state, view }: BodyProps) {
  const diff = row.entry ? editOf(row.entry, row.result) : undefined;
  const input = readInput(call);
  const command = call.name === "Bash" && typeof input?.["command"] === "string" ? input["command"] : undefined;
  const showsOutput = result !== undefined && (result.text !== "" || result.imageCount > 0) && !(diff && state.state === "ok");
  return (
    <>
      {diff ? (
        <Diff diff={diff} />
      ) : command === undefined ? (
        <Input call={call} input={input} />
      ) : (
        (command.includes("\n") || command !== call.summary || !result) && (
          <Pre class="command">
            <Marked text={command} />
            {state.state === "running" && <span class="caret" />}
          </Pre>
        )
      )}
      {showsOutput && <Output entry={row.result} result={result} view={view} />}
      {!result && command === undefined && (
        <pre class="f3">
          {state.state === "running" ? "running" : state.word}
          {state.state === "running" && <span class="caret" />}
        </pre>
      )}
      {result && result.text === "" && result.imageCount === 0 && !diff && <pre class="f3">no output</pre>}
      <Foot row={row} view={view} />
    </>
  );
}

/** A tool's input: nothing more when the row's line says it already. */
function Input({ call, input }: { call: ToolCallEntry; input: ReturnType<typeof readInput> }) {
  if (!input) {
    return (
      <pre class="pre">
        <Marked text={call.inputJson} />
      </pre>
    );
  }
  const values = Object.values(input);
  if (values.length === 0 || (values.length === 1 && values[0] === call.summary)) return null;
  return (
    <div class="input-tree">
      <JsonTree value={input} openLevels={2} />
    </div>
  );
}

function Output({ entry, result, view }: { entry: JournalEntry | undefined; result: ToolResultEntry; view: LogView }) {
  const more = entry?.truncated ? `cut at 64 KB of ${formatBytes(result.sizeBytes)}; the whole is in the run's download` : "";
  return (
    <>
      <Terminal text={outputOf(result)} {...(entry ? { onDownload: () => void downloadEntry(view.runId, entry.sequence) } : {})} />
      {result.imageCount > 0 && <div class="fold">Images are not kept in the journal.</div>}
      {more !== "" && <div class="fold">{more}</div>}
    </>
  );
}

/** Under an open card: where it is, and its own lines as the agent wrote them. */
function Foot({ row, view }: { row: Row; view: LogView }) {
  const sequences = [row.entry?.sequence, row.result?.sequence].filter((one) => one !== undefined);
  return (
    <div class="foot raws">
      {sequences.map((sequence, at) => (
        <button key={sequence} type="button" onClick={() => void downloadEntry(view.runId, sequence)}>
          raw {at === 0 ? "call" : "answer"}
        </button>
      ))}
    </div>
  );
}
