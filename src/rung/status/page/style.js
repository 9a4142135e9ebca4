// The look of the cards, as a stylesheet that shadow trees adopt: no policy of a host page refuses it.
//
// A host page themes them by the custom properties `--rung-…`, and by `color-scheme` or the attribute `theme`.

export const sheet = new CSSStyleSheet();

sheet.replaceSync(`
:host {
  --bg: var(--rung-background, light-dark(#FFFFFF, #0F1318));
  --surface: var(--rung-surface, light-dark(#F4F6F8, #191F27));
  --text: var(--rung-text, light-dark(#1A1F26, #E7EBF0));
  --muted: var(--rung-muted, light-dark(#525C69, #A6B0BC));
  --line: var(--rung-line, light-dark(#76808D, #717D8C));
  --accent: var(--rung-accent, light-dark(#0A58A8, #7DB8FF));
  --on-accent: var(--rung-on-accent, light-dark(#FFFFFF, #0F1318));
  --ok: var(--rung-ok, light-dark(#166B33, #5FD186));
  --warn: var(--rung-warn, light-dark(#855600, #F1BC55));
  --danger: var(--rung-danger, light-dark(#B0241B, #FF8F85));
  --hero: var(--rung-hero, light-dark(var(--rung-accent, #0A58A8), #173250));
  --on-hero: var(--rung-on-hero, light-dark(#FFFFFF, #E7EBF0));
  --track: var(--rung-track, light-dark(#D5DBE2, #323B47));
  --radius: var(--rung-radius, 16px);
  color-scheme: light dark;
  container-type: inline-size;
  display: block;
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([hidden]) { display: none; }

*, ::before, ::after { box-sizing: border-box; }

.all {
  color: var(--text);
  font: 16px/1.5 var(--rung-font, system-ui, "Segoe UI", sans-serif);
  font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere;
}
.all:lang(ja) {
  font-family: var(--rung-font, "Hiragino Sans", "Noto Sans JP", "Noto Sans CJK JP", Meiryo, sans-serif);
  line-height: 1.7;
  line-break: strict;
  word-break: auto-phrase;
}

h2, h3, h4, p, ul, ol, dl, dd { margin: 0; padding: 0; }
ul, ol { list-style: none; }
h2 { margin: 32px 0 12px; font-size: 20px; line-height: 1.3; }
section:first-of-type h2 { margin-top: 0; }
h3 { font-size: 16px; font-weight: 600; line-height: 1.4; }
h4 { font-size: 16px; font-weight: 650; }

.detail { color: var(--muted); font-size: 14px; }
.unseen {
  position: absolute;
  width: 1px;
  height: 1px;
  margin: 0;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}

.cards { display: grid; grid-template-columns: minmax(0, 4fr) minmax(0, 7fr); gap: 16px; align-items: start; }
.card { border-radius: var(--radius); padding: 24px; background: var(--surface); }

.rate { background: var(--hero); color: var(--on-hero); }
.rate .detail, .rate .muted, .rate .aside { color: inherit; }
.rate .pair { border-top-color: color-mix(in srgb, currentcolor 25%, transparent); }
.percent {
  margin: 4px 0 0;
  font-size: 60px;
  font-weight: 700;
  letter-spacing: -0.02em;
  line-height: 1.15;
}
.until { font-weight: 600; }
.how { margin: 20px 0 4px; font-size: 14px; font-weight: 600; }
.muted { color: var(--muted); font-weight: 400; }
.pair { display: flex; gap: 12px; justify-content: space-between; border-top: 1px solid var(--track); padding: 8px 0; }
.pair dt .detail { display: block; }
.pair dd { font-weight: 600; white-space: nowrap; }
.aside { margin-top: 16px; color: var(--muted); font-size: 14px; }
.aside.plain:only-child { margin: 0; color: inherit; font-size: 16px; }
.aside.warn { color: var(--warn); font-weight: 600; }
.rate .aside.warn { border-inline-start: 3px solid currentcolor; padding-inline-start: 10px; color: inherit; }

.top { display: flex; flex-wrap: wrap; gap: 8px 24px; align-items: start; justify-content: space-between; }
.deadline { color: var(--muted); font-size: 14px; }
.so-far { margin-inline-start: auto; text-align: end; }
.small-percent { display: block; font-size: 28px; font-weight: 700; letter-spacing: -0.01em; line-height: 1.2; }
.lead { margin-top: 16px; font-weight: 600; }

.steps { margin-top: 24px; }
.step { position: relative; display: grid; grid-template-columns: 28px minmax(0, 1fr); gap: 16px; padding-bottom: 28px; }
.step:last-child { padding-bottom: 0; }
/* The rail from one rung to the next. */
.step::before { position: absolute; inset: 28px auto 0 13px; width: 2px; background: var(--track); content: ""; }
.step:last-child::before { display: none; }
.step.reached::before { background: var(--ok); }
.mark { width: 28px; height: 28px; fill: none; stroke: var(--line); stroke-width: 2; }
.mark path { visibility: hidden; stroke-width: 3; stroke-linecap: round; stroke-linejoin: round; }
.started .mark { stroke: var(--accent); }
.started .mark path { visibility: visible; stroke-width: 10; }
.reached .mark { fill: var(--ok); stroke: var(--ok); }
.reached .mark path { fill: none; stroke: var(--surface); visibility: visible; }
.head { display: flex; gap: 12px; align-items: center; justify-content: space-between; min-height: 28px; }
.added {
  flex: none;
  border: 1px solid currentcolor;
  border-radius: 999px;
  padding: 0 10px;
  color: var(--accent);
  font-size: 14px;
  font-weight: 650;
  line-height: 24px;
}
.reached .added { color: var(--ok); }
.sentence { margin-top: 2px; }
.reached .sentence { color: var(--ok); }

.rows { display: grid; gap: 12px; margin-top: 12px; }
.group .rows { margin-top: 8px; border-inline-start: 2px solid var(--track); padding-inline-start: 14px; }
.group > .rows:first-child { margin-top: 0; }
.words { display: flex; flex-wrap: wrap; gap: 0 16px; justify-content: space-between; font-size: 14px; }
.value { margin-inline-start: auto; color: var(--muted); }
.share { display: inline-block; min-width: 3.2em; margin-inline-start: 4px; color: var(--text); font-weight: 600; text-align: end; }
.met .share, .rows .met .value { color: var(--ok); }
progress {
  display: block;
  width: 100%;
  height: 8px;
  margin-top: 4px;
  border: 0;
  border-radius: 4px;
  overflow: hidden;
  appearance: none;
  background: var(--track);
}
progress::-webkit-progress-bar { background: var(--track); }
progress::-webkit-progress-value { border-radius: 4px; background: var(--accent); }
progress::-moz-progress-bar { border-radius: 4px; background: var(--accent); }
.met > progress::-webkit-progress-value { background: var(--ok); }
.met > progress::-moz-progress-bar { background: var(--ok); }

.why { margin-top: 20px; border-top: 1px solid var(--track); padding-top: 4px; }
summary { min-height: 44px; padding: 10px 0; color: var(--accent); cursor: pointer; }
.payments li {
  display: grid;
  grid-template-columns: 8em minmax(0, 1fr) auto;
  gap: 0 16px;
  border-top: 1px solid var(--track);
  padding: 8px 0;
  font-size: 14px;
}
.payments .value { order: 1; text-align: end; }
.payments .met .reason { color: var(--ok); }
.pending { color: var(--warn); font-size: 14px; font-weight: 600; }

.foot { display: flex; flex-wrap: wrap; gap: 0 16px; margin-top: 16px; color: var(--muted); font-size: 14px; }
.foot .pending { margin: 0; }
.note { border-inline-start: 4px solid var(--accent); border-radius: 8px; padding: 16px 20px; background: var(--surface); }
.note.warn { margin-bottom: 16px; border-inline-start-color: var(--warn); }
.note.danger { border-inline-start-color: var(--danger); }
.waiting { min-height: 220px; border-radius: var(--radius); background: var(--surface); }
button {
  min-height: 44px;
  margin-top: 12px;
  border: 1px solid var(--accent);
  border-radius: 10px;
  padding: 0 20px;
  background: var(--accent);
  color: var(--on-accent);
  font: inherit;
  font-weight: 600;
  cursor: pointer;
}
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; border-radius: 4px; }

@container (max-width: 700px) {
  .cards { grid-template-columns: minmax(0, 1fr); }
  .card { padding: 20px 16px; }
  .percent { font-size: 52px; }
  .so-far { margin-inline-start: 0; text-align: start; }
  .step { column-gap: 12px; }
  .payments li { grid-template-columns: minmax(0, 1fr) auto; }
  .payments .reason { grid-column: 1 / -1; order: 2; color: var(--muted); }
}
@media (prefers-reduced-motion: no-preference) {
  progress::-webkit-progress-value { transition: inline-size 0.5s ease-out; }
  .reached .mark { animation: arrive 0.4s ease-out; }
  @keyframes arrive { from { transform: scale(0.6); } 60% { transform: scale(1.12); } }
}
@media (forced-colors: active) {
  .card, .note { border: 1px solid CanvasText; }
}
`);
