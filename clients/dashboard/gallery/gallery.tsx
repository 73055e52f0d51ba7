// Every component with made-up data, for looking at them: `npm run dev -w dashboard`, then /gallery/. Not in the build.
import { render } from "preact";
import { useCallback, useRef, useState } from "preact/hooks";
import { narrow } from "../src/app/narrow.ts";
import { Page, PageHead } from "../src/app/page.tsx";
import {
  Block,
  Button,
  Card,
  Empty,
  Facts,
  LineageDots,
  Meter,
  Notice,
  Seam,
  Segments,
  Sparkline,
  State,
  Tag,
} from "../src/components/basics.tsx";
import { ask, Dialog, QuestionHost } from "../src/components/dialog.tsx";
import { Diff, DiffCount } from "../src/components/diff.tsx";
import { ErrorNotice } from "../src/components/error.tsx";
import { AreaField, Check, Choice, Find, NumberField, SelectField, TextField } from "../src/components/form.tsx";
import { Icon } from "../src/components/icon.tsx";
import { JsonTree } from "../src/components/json_tree.tsx";
import { type Column, List, NewChip, RowAction, RowActions } from "../src/components/list.tsx";
import { MenuButton } from "../src/components/menu.tsx";
import { Plot } from "../src/components/plot.tsx";
import { Terminal } from "../src/components/terminal.tsx";
import { CopyBlock, Id } from "../src/components/text.tsx";
import { VirtualList, type VirtualListHandle } from "../src/components/virtual_list.tsx";
import { diffTexts } from "../src/lib/diff.ts";
import { formatMoney } from "../src/lib/format.ts";
import { parseJson } from "../src/lib/json.ts";
import { AFTER, BEFORE, error, held, JSON_TEXT, OUTPUT, ROWS, type Row } from "./data.ts";
import "../src/style/index.css";
import "./gallery.css";

const COLUMNS: Column<Row>[] = [
  {
    cell: (row) => (
      <State mark={row.mark} word={row.word}>
        {row.since}
      </State>
    ),
    narrow: "first",
  },
  { label: "thread", cell: (row) => <span class="m">{row.thread}</span>, narrow: "corner" },
  { cell: (row) => row.title },
  { label: "last line", cell: (row) => <span class="f2">{row.line}</span> },
  { label: "cost", cell: (row) => row.cost, right: true, narrow: "hide" },
  { label: "run", cell: (row) => <span class="id">…{row.id.slice(-6)}</span>, right: true, narrow: "hide" },
  {
    cell: () => (
      <RowActions>
        <RowAction label="Retry" onClick={() => {}} />
      </RowActions>
    ),
    right: true,
    narrow: "hide",
  },
];

function Log() {
  const [items, setItems] = useState(() => Array.from({ length: 100_000 }, (_, at) => at + 1000));
  const [follow, setFollow] = useState(false);
  const handle = useRef<VirtualListHandle | null>(null);
  const row = useCallback(
    (item: number) => (
      <p class="pre gallery-entry">
        <b>{item}</b> {"some words of a log ".repeat(1 + ((item * 7) % 23))}
      </p>
    ),
    [],
  );
  return (
    <section class="sec gallery-log">
      <div class="btns">
        <Button onClick={() => setItems([...Array.from({ length: 500 }, (_, at) => (items[0] ?? 0) - 500 + at), ...items])}>Older</Button>
        <Button onClick={() => setItems([...items, ...Array.from({ length: 500 }, (_, at) => (items.at(-1) ?? 0) + 1 + at)])}>Newer</Button>
        <Button onClick={() => handle.current?.show(51_000)}>51000</Button>
        <Button onClick={() => setFollow(!follow)}>{follow ? "following" : "follow"}</Button>
      </div>
      <VirtualList
        items={items}
        keyOf={(item) => item}
        render={row}
        estimate={() => 40}
        label="Log"
        follow={follow}
        onFollow={setFollow}
        handle={handle}
        page={narrow.value}
      />
    </section>
  );
}

function Gallery() {
  const [tab, setTab] = useState<"form" | "log">("form");
  const [kinds, setKinds] = useState<string[]>(["text", "tools", "thinking", "system"]);
  const [open, setOpen] = useState<string[]>(["edit", "bash"]);
  const [hour, setHour] = useState<number | undefined>(24);
  const [dialog, setDialog] = useState(false);
  const toggle = (name: string) => () => setOpen(open.includes(name) ? open.filter((one) => one !== name) : [...open, name]);
  const file = diffTexts(BEFORE, AFTER, 18);
  if (location.hash === "#log") return <main class="main">{<Log />}</main>;
  return (
    <main class="main">
      <Page
        title={<Id id="run_01jd8m3c6zf5xbq2t9q17k2m" />}
        trail={[{ href: "/runs", label: "Runs" }]}
        aside={
          <>
            older <kbd>j</kbd> newer <kbd>k</kbd>
          </>
        }
        tab="Components"
        mark="live"
      >
        <PageHead
          title="Add retry to checkout"
          detail="acme/shop#412"
          state={<State mark="live" word="running 1m 12s" />}
          buttons={
            <>
              <MenuButton
                label="Cancel"
                items={[
                  { label: "After this step", hint: "The tool that runs now ends first", onChoose: () => {} },
                  { label: "Now", hint: "What it is doing is lost", onChoose: () => {}, danger: true },
                ]}
              />
              <Button menu>Retry</Button>
            </>
          }
          meta={
            <>
              <a href="/triggers/github-reviews">github-reviews</a>
              <span>run 4 of its thread</span>
              <LineageDots
                runs={Array.from({ length: 4 }, (_, at) => ({
                  id: `run_${at}`,
                  href: "/",
                  title: `run ${at}`,
                  ...(at === 3 ? { mark: "live" as const } : {}),
                }))}
              />
              <LineageDots
                runs={Array.from({ length: 12 }, (_, at) => ({
                  id: `run_${at}`,
                  href: "/",
                  title: `run ${at}`,
                  ...(at === 11 ? { mark: "failed" as const } : {}),
                }))}
              />
              <span>
                continued from <Id id="run_01jd8m3c6zf5xbq2t9v58d3f" href="/" />
              </span>
              <span>claude-sonnet-5</span>
              <Tag>untrusted</Tag>
            </>
          }
        />
        <Facts
          facts={[
            { label: "Cost", value: "$0.0904", rest: "of $0.50", below: <Meter value={0.0904} max={0.5} live label="Cost" /> },
            { label: "Tokens", value: "146,208", rest: "read from cache", below: "in 18 · written 4,911 · out 1,874" },
            { label: "Cache health", value: "96.7 %", below: "$0.29 less than a fresh start" },
            { label: "Context", value: "177,412", rest: "of 200,000", below: <Meter value={177} max={200} label="Context" /> },
            { label: "Turns", value: "20", rest: "of 20", below: <Meter value={20} max={20} label="Turns" /> },
          ]}
        />
        <div class="bar">
          <Segments
            label="Kinds"
            value={kinds}
            onChange={(one) => setKinds(kinds.includes(one) ? kinds.filter((kind) => kind !== one) : [...kinds, one])}
            options={[
              { value: "text", label: "Text", count: 5 },
              { value: "tools", label: "Tools", count: 7 },
              { value: "thinking", label: "Thinking", count: 3 },
              { value: "system", label: "System", count: 3 },
              { value: "stderr", label: "Stderr", count: 0 },
            ]}
          />
          <span class="grow" />
          <Find label="Search" value="jitter" onInput={() => {}} rest="3/17" />
          <Choice label="All outcomes" value="" options={[{ value: "filtered", label: "Filtered" }]} onChange={() => {}} />
          <NewChip rows={held} what="run" />
        </div>
        <section class="sec gallery-cards">
          <Card
            name="Edit"
            argument="src/checkout/retry.rs"
            rest={<DiffCount diff={file} />}
            duration="✓ 0.1 s"
            open={open.includes("edit")}
            onToggle={toggle("edit")}
          >
            <Block>
              <Diff diff={file} />
            </Block>
          </Card>
          <Card
            name="Bash"
            argument="cargo test -p checkout"
            rest={<State mark="failed" word="failed, exit 101" />}
            duration="8.2 s"
            open={open.includes("bash")}
            onToggle={toggle("bash")}
          >
            <Block bad>
              <Terminal text={OUTPUT} onDownload={() => {}} />
            </Block>
          </Card>
          <Notice title="Transcript restored" continues>
            61 messages from 3 stored parts, 184 KB.
          </Notice>
          <Notice title="Budget" mark="waiting">
            The run is at 80 % of its $0.50.
          </Notice>
          <Seam>reconnected after 2 s, nothing lost</Seam>
        </section>
        <section class="sec">
          <List
            title="Running"
            count={5}
            rows={ROWS}
            columns={COLUMNS}
            template="cols-gallery"
            idOf={(row) => row.id}
            hrefOf={(row) => `/runs/${row.id}`}
          />
        </section>
        <Facts
          large
          facts={["Runs", "Cost", "Not started", "Wait, median"].map((label, at) => ({
            label,
            value: ["128", "$7.42", "342", "1.4 s"][at],
            rest: ["3 failed", "of $25.00 a day", "311 filtered · 19 self-authored", "p95 48 s"][at],
            below: <Sparkline label={label} values={Array.from({ length: 24 }, (_, hour) => 6 + at + 5 * Math.sin(hour / 3 + at))} />,
          }))}
        />
        <section class="sec">
          <Plot
            label="Cost by day"
            positions={Array.from({ length: 30 }, (_, at) => `${at + 1} Nov`)}
            format={formatMoney}
            series={[
              { label: "continued", kind: "bar", tone: "quiet", values: Array.from({ length: 30 }, (_, at) => 3 + 2 * Math.sin(at / 4)) },
              { label: "fresh", kind: "bar", tone: "copper", values: Array.from({ length: 30 }, (_, at) => 1 + Math.cos(at / 3)) },
              {
                label: "cache health",
                kind: "line",
                tone: "green",
                share: true,
                format: (value) => `${Math.round(value * 100)} %`,
                values: Array.from({ length: 30 }, (_, at) => (at === 12 ? null : 0.8 + 0.15 * Math.sin(at / 5))),
              },
            ]}
          />
        </section>
        <div class="form">
          <h2>Sessions</h2>
          <Segments
            label="Tab"
            value={tab}
            onChange={setTab}
            options={[
              { value: "form", label: "Form" },
              { value: "log", label: "Log" },
            ]}
          />
          <TextField
            label="Slug"
            value="Reviews"
            onInput={() => {}}
            help="Stands in the webhook's address."
            error="must match [a-z0-9][a-z0-9-]{0,47}"
            mono
          />
          <AreaField
            label="Filter"
            mono
            value={'event.text.contains("@reprise")'}
            onInput={() => {}}
            help="An expression over the event."
          />
          <NumberField
            label="Hour of the clean-up"
            value={hour}
            onInput={setHour}
            min={0}
            max={23}
            unit="o'clock"
            help="In the time zone above."
          />
          <SelectField
            label="Source"
            value="github"
            onChange={() => {}}
            options={[
              { value: "github", label: "GitHub" },
              { value: "linear", label: "Linear" },
            ]}
          />
          <Check label="Continue sessions" help="Runs of one thread go on in one Claude session." checked onChange={() => {}} />
          <CopyBlock text={"curl -X POST http://localhost:7700/hooks/reviews/… -d @event.json"} />
          <div class="btns">
            <Button primary>Save</Button>
            <Button onClick={() => setDialog(true)}>Dialog…</Button>
            <Button
              danger
              onClick={() =>
                void ask({
                  title: "Reset acme/shop#412?",
                  body: "This ends a conversation of 4 runs. Its journal stays.",
                  confirm: "Reset",
                  danger: true,
                })
              }
            >
              Reset…
            </Button>
          </div>
          <JsonTree value={parseJson(JSON_TEXT) ?? null} root="event" openLevels={2} onPick={() => {}} />
        </div>
        <ErrorNotice error={error} onRetry={() => {}} />
        <Empty
          text="No webhook has arrived for this trigger yet."
          command={<CopyBlock text="curl …" />}
          link={{ href: "/triggers", label: "Set-up steps" }}
        />
        <button type="button" class="pill">
          <Icon name="down" class="c-copper" />
          Jump to live <span class="f2">12 new</span>
        </button>
        {dialog && (
          <Dialog title="A dialog" onClose={() => setDialog(false)} end={<Button primary>Do it</Button>}>
            <p>Says what happens.</p>
          </Dialog>
        )}
        <QuestionHost />
      </Page>
    </main>
  );
}

const root = document.getElementById("app");
root?.classList.add("alone");
const wanted = new URLSearchParams(location.search).get("theme");
if (wanted) document.documentElement.dataset["theme"] = wanted;
if (root) render(<Gallery />, root);
