import { useEffect, useRef, useState } from "preact/hooks";

/** One set of values: stacked bars, or a line over them. */
export interface Series {
  label: string;
  kind: "bar" | "line";
  /** `quiet` is for the larger, unremarkable part. */
  tone: "copper" | "quiet" | "green" | "red" | "amber" | "blue";
  /** One a position; null is a gap. */
  values: readonly (number | null)[];
  /** How its values read; default: as the axis. */
  format?: (value: number) => string;
  /** Its own scale from 0 to 1, for shares over amounts. */
  share?: boolean;
}

interface PlotProps {
  label: string;
  /** Names of the positions, for the readout; every nth stands under the axis. */
  positions: readonly string[];
  series: readonly Series[];
  format: (value: number) => string;
  height?: number;
}

const [TOP, BOTTOM, LEFT] = [8, 20, 56];
/** A bar is a mark, not a surface. */
const WIDEST = 24;

/**
 * Bars and lines over a few dozen positions, from zero, with the values of one position above it while the pointer or
 * `←` `→` is on it.
 *
 * A small SVG, no plotting library: there are at most 90 positions and four series, colours come from the theme by
 * themselves, text is text for readers and for the clipboard, and 20 kB of canvas code stay out of the page.
 */
export function Plot({ label, positions, series, format, height = 180 }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(640);
  const [at, setAt] = useState<number>();
  useEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.max(240, Math.floor(entry.contentRect.width))));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const count = positions.length;
  const plotHeight = height - TOP - BOTTOM;
  const step = (width - LEFT) / Math.max(1, count);
  const thickness = Math.min(step * 0.7, WIDEST);
  const bars = series.filter((one) => one.kind === "bar");
  const sums = positions.map((_, index) => bars.reduce((sum, one) => sum + (one.values[index] ?? 0), 0));
  const highest = Math.max(
    ...sums,
    ...series.filter((one) => one.kind === "line" && !one.share).flatMap((one) => one.values.map((value) => value ?? 0)),
    0,
  );
  const ticks = niceTicks(highest);
  const top = ticks.at(-1) ?? 1;
  const y = (value: number, max = top) => TOP + plotHeight - (max > 0 ? value / max : 0) * plotHeight;
  const x = (index: number) => LEFT + index * step;
  const every = Math.max(1, Math.ceil(count / Math.max(2, Math.floor((width - LEFT) / 72))));
  const onKey = (event: KeyboardEvent) => {
    const move = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (move === 0) return;
    event.preventDefault();
    setAt((was) => Math.max(0, Math.min(count - 1, was === undefined ? count - 1 : was + move)));
  };
  const read = at === undefined ? undefined : Math.min(at, count - 1);
  return (
    <div
      class="plot"
      ref={box}
      tabIndex={0}
      role="group"
      aria-label={label}
      onKeyDown={onKey}
      onPointerLeave={() => setAt(undefined)}
      onBlur={() => setAt(undefined)}
    >
      <p class="legend t12" aria-live="polite">
        {read !== undefined && <b>{positions[read]}</b>}
        {series.map((one) => {
          const value = read === undefined ? undefined : one.values[read];
          return (
            <span key={one.label} class={`key tone-${one.tone} is-${one.kind}`}>
              {one.label}
              {value !== undefined && <b> {value === null ? "–" : (one.format ?? format)(value)}</b>}
            </span>
          );
        })}
      </p>
      <svg
        width={width}
        height={height}
        aria-hidden="true"
        onPointerMove={(event) => {
          const place = event.clientX - event.currentTarget.getBoundingClientRect().left - LEFT;
          setAt(place < 0 ? undefined : Math.max(0, Math.min(count - 1, Math.floor(place / step))));
        }}
      >
        {ticks.map((tick) => (
          <g key={tick}>
            <line class="rule" x1={LEFT} x2={width} y1={Math.round(y(tick)) + 0.5} y2={Math.round(y(tick)) + 0.5} />
            <text class="tick" x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
              {tick === 0 ? "0" : format(tick)}
            </text>
          </g>
        ))}
        {read !== undefined && <rect class="cursor" x={x(read)} y={TOP} width={step} height={plotHeight} />}
        {positions.map((position, index) => {
          let base = 0;
          return (
            <g key={position}>
              {bars.map((one) => {
                const value = one.values[index] ?? 0;
                const from = base;
                base += value;
                return value > 0 ? (
                  <rect
                    key={one.label}
                    class={`bar tone-${one.tone}`}
                    x={x(index) + (step - thickness) / 2}
                    width={thickness}
                    y={y(base)}
                    height={Math.max(0.5, y(from) - y(base))}
                  />
                ) : null;
              })}
              {index % every === 0 && (
                <text class="tick" {...tickPlace(x(index) + step / 2, width)} y={height - 4}>
                  {position}
                </text>
              )}
            </g>
          );
        })}
        {series
          .filter((one) => one.kind === "line")
          .map((one) => (
            <g key={one.label} class={`tone-${one.tone}`}>
              <path
                class="line"
                d={linePath(
                  one.values,
                  (index) => x(index) + step / 2,
                  (value) => y(value, one.share ? 1 : top),
                )}
              />
              {one.values.map(
                (value, index) =>
                  value !== null &&
                  (one.values[index - 1] ?? null) === null &&
                  (one.values[index + 1] ?? null) === null && (
                    <circle key={positions[index]} class="dot" cx={x(index) + step / 2} cy={y(value, one.share ? 1 : top)} r="2" />
                  ),
              )}
            </g>
          ))}
      </svg>
      <table class="sr">
        <caption>{label}</caption>
        <tbody>
          {positions.map((position, index) => (
            <tr key={position}>
              <th>{position}</th>
              {series.map((one) => (
                <td key={one.label}>
                  {one.label} {one.values[index] == null ? "–" : (one.format ?? format)(one.values[index] ?? 0)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Zero and up to four round values, the last one at the highest value or above it. */
export function niceTicks(highest: number): number[] {
  if (!(highest > 0)) return [0, 1];
  const rough = highest / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999) ?? 10 * power;
  const ticks = [0];
  for (let at = 1; (ticks.at(-1) ?? 0) < highest * 0.9999; at += 1) ticks.push(Number((at * size).toPrecision(12)));
  return ticks;
}

/** A name stands below its position, but never over the edge. */
function tickPlace(x: number, width: number): { x: number; "text-anchor": "middle" | "end" } {
  return x + 36 > width ? { x: width, "text-anchor": "end" } : { x, "text-anchor": "middle" };
}

function linePath(values: readonly (number | null)[], x: (index: number) => number, y: (value: number) => number): string {
  let pen = "M";
  let path = "";
  for (const [index, value] of values.entries()) {
    if (value === null) {
      pen = "M";
      continue;
    }
    path += `${pen}${x(index).toFixed(1)},${y(value).toFixed(1)}`;
    pen = "L";
  }
  return path;
}
