import {
  type AgentStartedEntry,
  type JournalEntry,
  type OtherEntry,
  type OutcomeEntry,
  type RetryEntry,
  type RunStartedEntry,
  RunState,
} from "@reprise/client";
import { hrefs } from "../../app/routes.ts";
import { Block, Card, Notice, Seam } from "../../components/basics.tsx";
import { JsonTree } from "../../components/json_tree.tsx";
import { CurrentHit, Marked } from "../../components/marked.tsx";
import { Terminal } from "../../components/terminal.tsx";
import { Id } from "../../components/text.tsx";
import { durationMs, formatMoney, formatSpan, plural, shortId } from "../../lib/format.ts";
import { parseJson } from "../../lib/json.ts";
import { failureWord, runState } from "../../lib/words.ts";
import { Prose, Sentence } from "./prose.tsx";
import type { Row } from "./rows.ts";
import { LoneResult, ToolCard } from "./tool.tsx";
import { exactTime, isCard, type LogView, timeText } from "./view.ts";
import { lineageText, noticeLook, promptKind, warningText } from "./words.ts";

/** A row of the log: its time in the gutter, and what happened. */
export function EntryRow({ row, view }: { row: Row; view: LogView }) {
  if (row.seam !== undefined) return <Seam>{row.seam}</Seam>;
  const { entry } = row;
  if (!entry) return null;
  const card = isCard(row);
  return (
    <div
      class={`e${card ? " tool" : ""}${row.depth > 0 ? " sub" : ""}`}
      style={row.depth > 0 ? { "--depth": Math.min(row.depth, 4) } : undefined}
      aria-current={view.current === row.key ? "true" : undefined}
      data-kind={entry.kind.case}
    >
      <a class="at" href={`#s${entry.sequence}`} title={`${exactTime(row)} · entry ${entry.sequence}`}>
        {timeText(row, view)}
      </a>
      <CurrentHit.Provider value={view.hit === row.key}>
        <Body row={row} entry={entry} view={view} />
      </CurrentHit.Provider>
    </div>
  );
}

function Body({ row, entry, view }: { row: Row; entry: JournalEntry; view: LogView }) {
  const { kind } = entry;
  switch (kind.case) {
    case "text":
      return <Prose text={kind.value.text} />;
    case "thinking":
      return (
        <p class="think">
          <Marked text={kind.value.text} />
        </p>
      );
    case "toolCall":
      return <ToolCard row={row} call={kind.value} view={view} />;
    case "toolResult":
      return <LoneResult row={row} result={kind.value} view={view} />;
    case "stderr":
      return <Stderr text={kind.value.text} />;
    case "runStarted":
      return <Prompt row={row} started={kind.value} view={view} />;
    case "agentStarted":
      return <AgentStarted started={kind.value} />;
    case "notice":
      return (
        <Notice {...noticeLook(kind.value)}>
          <Sentence text={kind.value.message} />
        </Notice>
      );
    case "retry":
      return <Retry retry={kind.value} />;
    case "outcome":
      return <Outcome row={row} outcome={kind.value} />;
    case "other":
      return <Other row={row} other={kind.value} view={view} />;
    default:
      return null;
  }
}

function Stderr({ text }: { text: string }) {
  return (
    <div class="stderr">
      <span class="f3 t12" title="The agent's program wrote this to standard error">
        stderr
      </span>
      <Terminal text={text} />
    </div>
  );
}

function Prompt({ row, started, view }: { row: Row; started: RunStartedEntry; view: LogView }) {
  const about = [started.attempt > 1 ? `attempt ${started.attempt}` : "", lineageText(started.lineage), promptKind(started.promptKind)];
  return (
    <Card
      name="Prompt"
      argument={<Marked text={firstLine(started.prompt)} />}
      rest={<span class="wide">{about.filter(Boolean).join(" · ")}</span>}
      open={view.isOpen(row)}
      onToggle={(open) => view.toggle(row, open)}
    >
      <Block>
        <pre class="pre">
          <Marked text={started.prompt} />
        </pre>
        {started.deliveryIds.length > 0 && (
          <div class="foot">
            {plural(started.deliveryIds.length, "delivery", "deliveries")}
            {started.deliveryIds.slice(0, 10).map((id) => (
              <Id key={id} id={id} href={hrefs.delivery(id)} />
            ))}
          </div>
        )}
      </Block>
    </Card>
  );
}

/** The first line that says something; the server's own first line only names the run. */
function firstLine(text: string): string {
  const lines = text.slice(0, 2000).split("\n");
  return (lines.find((line) => line.trim() !== "" && !line.startsWith("[reprise run_")) ?? "").slice(0, 300);
}

function AgentStarted({ started }: { started: AgentStartedEntry }) {
  const broken = started.mcpServers.filter((one) => one.status !== "connected");
  const parts = [
    `claude ${started.agentVersion}`,
    started.permissionMode,
    plural(started.tools.length, "tool"),
    started.mcpServers.length > 0 ? plural(started.mcpServers.length, "MCP server") : "",
    broken.length > 0 ? broken.map((one) => `${one.name} ${one.status}`).join(", ") : "",
  ];
  return (
    <p class="sys" title={`${started.agentSessionId}\n${started.tools.join(", ")}`}>
      {parts.filter(Boolean).join(" · ")}
      {started.agentSessionId && <span class="nowrap"> · session {shortId(started.agentSessionId)}</span>}
    </p>
  );
}

function Retry({ retry }: { retry: RetryEntry }) {
  const delay = durationMs(retry.delay);
  return (
    <Notice mark="waiting" title={`Request repeated, ${retry.number} of ${retry.maxCount}`}>
      {retry.apiStatus === undefined ? "The model's API did not answer" : `The model's API answered ${retry.apiStatus}`}
      {retry.error && `: ${retry.error}`}
      {delay !== undefined && `; the agent asks again after ${formatSpan(delay)}.`}
    </Notice>
  );
}

function Outcome({ row, outcome }: { row: Row; outcome: OutcomeEntry }) {
  const { mark, word } = runState(outcome.state);
  const { failure, usage } = outcome;
  const turn = durationMs(outcome.turnDuration);
  const api = durationMs(outcome.apiDuration);
  const facts = [
    turn === undefined ? "" : `the last turn took ${formatSpan(turn)}${api === undefined ? "" : `, ${formatSpan(api)} of it the model`}`,
    usage ? `${formatMoney(usage.costUsd)} in all` : "",
  ];
  const amber = outcome.state === RunState.SUCCEEDED && outcome.warnings.length > 0;
  return (
    <>
      {row.answer && <Prose text={row.answer} />}
      <Notice mark={amber ? "waiting" : mark} title={word.charAt(0).toUpperCase() + word.slice(1)}>
        {failure ? (
          <>
            <code>{failureWord(failure.reason)}</code> <Sentence text={failure.message} />
          </>
        ) : (
          facts.filter(Boolean).join(" · ")
        )}
      </Notice>
      {failure?.remedy && (
        <p class="remedy f2">
          <Sentence text={failure.remedy} />
        </p>
      )}
      {outcome.warnings.map((one) => (
        <p key={one} class="remedy c-amber">
          {warningText(one)}
        </p>
      ))}
    </>
  );
}

function Other({ row, other, view }: { row: Row; other: OtherEntry; view: LogView }) {
  const open = view.isOpen(row);
  const value = open ? parseJson(other.rawJson) : undefined;
  return (
    <Card
      name={other.type || "line"}
      argument={<Marked text={other.subtype || other.rawJson.slice(0, 200)} />}
      open={open}
      onToggle={(now) => view.toggle(row, now)}
    >
      <Block>
        {value === undefined ? (
          <pre class="pre">
            <Marked text={other.rawJson} />
          </pre>
        ) : (
          <div class="input-tree">
            <JsonTree value={value} openLevels={2} />
          </div>
        )}
      </Block>
    </Card>
  );
}
