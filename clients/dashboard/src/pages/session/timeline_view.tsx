import { DeliveryOutcome, Lineage } from "@reprise/client";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { hrefs } from "../../app/routes.ts";
import { Icon } from "../../components/icon.tsx";
import { clock } from "../../components/text.tsx";
import { formatExact, toMs } from "../../lib/format.ts";
import { firstView, layOut, leastWidth, type RunBar, type TimelineInput } from "./timeline.ts";

/** Deliveries above the line, runs below, time to scale with breaks, and the memory line through the runs. */
export function TimelineView(props: Omit<TimelineInput, "now" | "width">) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setWidth(Math.floor(element.clientWidth - parseFloat(getComputedStyle(element).paddingLeft)));
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  const live = props.runs.some((run) => run.startTime && !run.endTime);
  // A thread at rest is drawn again now and then, a live one each second.
  const now = live ? clock.value : Math.max(lastMoment(props), Math.floor(clock.value / AT_REST_MS) * AT_REST_MS);
  const { deliveries, runs, conversations, rememberedUntil, generation } = props;
  const drawn = useMemo(
    () => layOut({ deliveries, runs, conversations, rememberedUntil, generation, now, width: Math.max(width, leastWidth(width)) }),
    [deliveries, runs, conversations, rememberedUntil, generation, now, width],
  );
  // What is newest is seen first, and with it where it comes from.
  const wide = drawn.width > width;
  const newest = drawn.bars.at(-1)?.run.id;
  useEffect(() => {
    if (box.current && wide && width > 0) box.current.scrollLeft = firstView(drawn, width);
  }, [wide, width > 0, newest]);
  return (
    <div class="tl" ref={box} role="group" aria-label="Timeline" tabIndex={wide ? 0 : undefined}>
      <div class="tl-in" style={{ "--width": `${drawn.width}px` }}>
        <div class="lane days">
          <Breaks drawn={drawn} labels />
          {drawn.days.map((day) => (
            <span class="day" key={day.x} style={{ "--x": `${day.x}px` }}>
              <b>{day.day}</b> {day.clock}
            </span>
          ))}
        </div>
        <div class="lane events">
          <span class="lane-name wide" aria-hidden="true">
            Deliveries
          </span>
          {drawn.stretches.map((one, at) => (
            <i
              class="axis"
              key={one.x}
              style={{ "--x": `${one.x}px`, "--w": `${(at === drawn.stretches.length - 1 ? drawn.now : one.end) - one.x}px` }}
            />
          ))}
          <i class="now" style={{ "--x": `${drawn.now}px` }}>
            now
          </i>
          <Breaks drawn={drawn} />
          {drawn.marks.map(({ delivery, x, up, look, label, rest }) => (
            <a
              key={delivery.id}
              class={`ev ${look}`}
              href={hrefs.delivery(delivery.id)}
              style={{ "--x": `${x}px`, "--up": `${up}px` }}
              title={`${label} ${rest}, ${formatExact(toMs(delivery.receiveTime) ?? 0)}`}
              aria-label={`Delivery: ${label} ${rest}${delivery.outcome === DeliveryOutcome.COALESCED ? ", merged" : ""}`}
            >
              {up > 5 && (
                <span>
                  {label} <small class={look === "wait" ? "c-amber" : look === "fail" ? "c-red" : ""}>{rest}</small>
                </span>
              )}
            </a>
          ))}
        </div>
        <div class="lane runs">
          <span class="lane-name wide" aria-hidden="true">
            Runs
          </span>
          <Breaks drawn={drawn} />
          {drawn.memory.map((one) => (
            <i class="memory" key={one.x} style={{ "--x": `${one.x}px`, "--w": `${one.width}px` }} />
          ))}
          {drawn.starts.map((one) => (
            <i class="start" key={one.x} style={{ "--x": `${one.x}px` }}>
              {one.label}
            </i>
          ))}
          {drawn.bars.map((bar) => (
            <Bar key={bar.run.id} bar={bar} />
          ))}
          <Continues bars={drawn.bars} />
        </div>
      </div>
    </div>
  );
}

const AT_REST_MS = 10_000;

/** When something last happened: what is drawn as now is never before it. */
function lastMoment({ runs, deliveries }: Pick<TimelineInput, "runs" | "deliveries">): number {
  return Math.max(0, ...runs.map((run) => toMs(run.endTime) ?? 0), ...deliveries.map((one) => toMs(one.receiveTime) ?? 0));
}

function Breaks({ drawn, labels = false }: { drawn: ReturnType<typeof layOut>; labels?: boolean }) {
  return drawn.breaks.map((one) => (
    <i class="brk" key={one.x} style={{ "--x": `${one.x}px`, "--w": `${one.width}px` }}>
      {labels ? one.label : ""}
    </i>
  ));
}

function Bar({ bar: { run, x, width, look, labelled, label, rest } }: { bar: RunBar }) {
  return (
    <a
      class={`runbar ${look}`}
      href={hrefs.run(run.id)}
      style={{ "--x": `${x}px`, "--w": `${width}px` }}
      title={`${label}, ${rest}`}
      aria-label={`Run: ${label}, ${rest}`}
    >
      {labelled && (
        <span>
          {label} <small>{rest}</small>
        </span>
      )}
    </a>
  );
}

/** The product's mark stands before the newest run, when that goes on from an earlier one. */
function Continues({ bars }: { bars: readonly RunBar[] }) {
  const last = bars.at(-1);
  const before = bars.at(-2);
  if (!last || !before || (last.run.lineage !== Lineage.CONTINUED && last.run.lineage !== Lineage.RESTORED)) return null;
  if (last.x - before.x - before.width < 28) return null;
  return (
    <i class="rep" style={{ "--x": `${last.x}px` }}>
      <Icon name="rep" />
    </i>
  );
}
