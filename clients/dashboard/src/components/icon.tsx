/** The drawings, 16 by 16, in the colour of their text. `rep`, the product's mark, stands only where a run goes on from an earlier one. */
const DRAWINGS = {
  now: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <circle class="bare" cx="8" cy="8" r="2.2" />
    </>
  ),
  triggers: <path d="M8.8 2 3.8 9h3.8l-.6 5 5.2-7H8.3z" />,
  deliveries: <path d="M2.5 8h7M6.8 5l3 3-3 3M13.2 3v10" />,
  runs: <path d="M4.5 3v10l8-5z" />,
  sessions: (
    <>
      <path d="M2 8h12" />
      <circle class="solid" cx="4.5" cy="8" r="1.7" />
      <circle class="solid" cx="11.5" cy="8" r="1.7" />
    </>
  ),
  costs: <path d="M3 13V9M8 13V3M13 13V6" />,
  settings: (
    <>
      <path d="M2.5 5h6M12.5 5h1M2.5 11h1M7.5 11h6" />
      <circle cx="10.5" cy="5" r="1.8" />
      <circle cx="5.5" cy="11" r="1.8" />
    </>
  ),
  theme: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path class="solid" d="M8 2.5a5.5 5.5 0 0 0 0 11z" />
    </>
  ),
  find: (
    <>
      <circle cx="7" cy="7" r="4" />
      <path d="m10 10 3.2 3.2" />
    </>
  ),
  chevron: <path d="m6.5 5 3 3-3 3" />,
  down: <path d="M8 3v9.5M4.5 9 8 12.5 11.5 9" />,
  menu: <path d="m5 6.5 3 3 3-3" />,
  close: <path d="m4.5 4.5 7 7M11.5 4.5l-7 7" />,
  copy: (
    <>
      <rect x="5.5" y="5.5" width="7.5" height="7.5" rx="1.5" />
      <path d="M10.5 3H4.5A1.5 1.5 0 0 0 3 4.5v6" />
    </>
  ),
  check: <path d="m3.5 8.5 3 3 6-7" />,
  rep: (
    <g class="bare">
      <path d="M12 2h2.4v12H12zM9 2h1.2v12H9z" />
      <circle cx="5.6" cy="5.8" r="1.5" />
      <circle cx="5.6" cy="10.2" r="1.5" />
    </g>
  ),
};

/** Name of a drawing. */
export type IconName = keyof typeof DRAWINGS;

/** A drawing. It says nothing by itself: the words stand beside it, or in the label of its button. */
export function Icon({ name, class: extra = "" }: { name: IconName; class?: string }) {
  return (
    <svg class={`icon ${extra}`} viewBox="0 0 16 16" aria-hidden="true">
      {DRAWINGS[name]}
    </svg>
  );
}
