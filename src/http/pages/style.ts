import { createHash } from 'node:crypto';

/** The one stylesheet. Light and dark by preference, phone first, no script, nothing from elsewhere. */
export const style = `
:root {
  color-scheme: light dark;
  --ground: #f6f6f3; --card: #ffffff; --ink: #1b1d22; --soft: #575c66; --line: #dddcd6; --field: #8a8f99;
  --accent: #0f5f55; --on-accent: #ffffff; --accent-soft: #e2f0ed; --accent-ink: #0b5047;
  --good: #1c6b3c; --good-soft: #e3f3e8; --warn: #7a4b00; --warn-soft: #fdf0d9; --bad: #a3201c; --bad-soft: #fce9e7;
  --code: #efeee9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #131518; --card: #1c1f24; --ink: #eceef1; --soft: #a9afba; --line: #33373f; --field: #7b828e;
    --accent: #6fd3c1; --on-accent: #06251f; --accent-soft: #17332f; --accent-ink: #8fe3d3;
    --good: #84d6a0; --good-soft: #16301f; --warn: #f0c070; --warn-soft: #35280f; --bad: #ff9d97; --bad-soft: #3b1a19;
    --code: #272b31;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; min-height: 100vh; display: flex; flex-direction: column; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
a { color: var(--accent-ink); text-underline-offset: 0.2em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: 0.5rem 1rem; z-index: 1; }
header.top { border-bottom: 1px solid var(--line); background: var(--card); }
header.top > div {
  max-width: 62rem; margin: 0 auto; padding: 0.75rem 1rem; display: flex; align-items: center; gap: 0.5rem 1rem;
}
.mark { display: inline-flex; align-items: center; gap: 0.55rem; font-weight: 650; color: var(--ink); text-decoration: none; letter-spacing: -0.01em; }
.mark svg { width: 1.5rem; height: 1.5rem; color: var(--accent); }
.mark path { stroke: var(--card); }
header.top nav { margin-left: auto; display: flex; align-items: center; gap: 1rem; font-size: 0.92rem; min-width: 0; }
header.top nav .who { color: var(--soft); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
header.top nav button { white-space: nowrap; }
main { flex: 1; width: 100%; max-width: 34rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
main.wide { max-width: 62rem; }
main.wide > h1 { margin-bottom: 1.25rem; }
.tick { width: 3rem; height: 3rem; color: var(--good); margin-bottom: 0.75rem; display: block; }
.tick.no { color: var(--soft); }
footer { color: var(--soft); font-size: 0.85rem; text-align: center; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; letter-spacing: -0.02em; margin: 0 0 0.75rem; text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0; letter-spacing: -0.01em; }
p { margin: 0 0 1rem; overflow-wrap: anywhere; }
.lead { color: var(--soft); font-size: 1.05rem; }
.soft { color: var(--soft); }
.small { font-size: 0.88rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1.25rem; margin: 0 0 1.25rem; }
.card > :last-child { margin-bottom: 0; }
.card > h2 { margin-bottom: 0.75rem; display: flex; align-items: baseline; gap: 0.6rem; }
.card > h2 .count { font-weight: 400; color: var(--soft); font-size: 0.92rem; }
.grid { display: grid; gap: 1.25rem; grid-template-columns: minmax(0, 1fr); align-items: start; }
.grid > .card { margin: 0; }
form { margin: 0; }
.field { margin: 0 0 1.1rem; border: 0; padding: 0; min-width: 0; }
label, legend, .label { display: block; font-weight: 600; margin: 0 0 0.3rem; padding: 0; }
.help { color: var(--soft); font-size: 0.9rem; margin: 0.3rem 0 0; }
input:not([type=checkbox]):not([type=radio]), select, textarea {
  width: 100%; min-height: 2.9rem; padding: 0.55rem 0.75rem; font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--field); border-radius: 9px;
}
input.code { font: 600 1.4rem/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; letter-spacing: 0.14em; text-transform: uppercase; }
input[aria-invalid=true]:not([type=checkbox]):not([type=radio]) { border-color: var(--bad); border-width: 2px; }
.error { color: var(--bad); font-size: 0.92rem; margin: 0.3rem 0 0; }
.mono { overflow-wrap: anywhere; }
.check > span { min-width: 0; }
.check { display: flex; gap: 0.65rem; align-items: flex-start; font-weight: 400; margin: 0 0 0.5rem; }
.check input { width: 1.2rem; height: 1.2rem; margin: 0.17rem 0 0; flex: none; accent-color: var(--accent); }
.actions { display: flex; flex-wrap: wrap; gap: 0.75rem; margin-top: 1.25rem; align-items: center; }
button, .button {
  display: inline-flex; align-items: center; justify-content: center; min-height: 2.9rem; padding: 0.5rem 1.25rem; font: inherit; font-weight: 600;
  border: 1px solid transparent; border-radius: 9px; background: var(--accent); color: var(--on-accent); cursor: pointer; text-decoration: none;
}
button:hover, .button:hover { filter: brightness(1.08); }
button.quiet, .button.quiet { background: transparent; color: var(--ink); border-color: var(--field); }
button.plain { background: none; border: 0; color: var(--accent-ink); padding: 0.3rem 0; min-height: 0; font-weight: 400; text-decoration: underline; text-underline-offset: 0.2em; }
.actions > button:only-child { width: 100%; }
.upstreams { display: grid; gap: 0.75rem; }
.note { border-radius: 10px; padding: 0.8rem 1rem; margin: 0 0 1.25rem; background: var(--accent-soft); border-left: 4px solid var(--accent); }
.note > :last-child { margin-bottom: 0; }
.note.bad { background: var(--bad-soft); border-color: var(--bad); }
.note.warn { background: var(--warn-soft); border-color: var(--warn); }
.note.good { background: var(--good-soft); border-color: var(--good); }
code, pre, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.9em; }
code { background: var(--code); border-radius: 5px; padding: 0.1em 0.35em; overflow-wrap: anywhere; }
pre { background: var(--code); border-radius: 9px; padding: 0.8rem 1rem; overflow-x: auto; margin: 0 0 1rem; }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
pre.command code { overflow-wrap: anywhere; }
pre code { background: none; padding: 0; overflow-wrap: normal; }
.show { display: block; text-align: center; font: 650 1.75rem/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; letter-spacing: 0.12em; background: var(--code); border-radius: 10px; padding: 0.8rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
dl.facts { margin: 0 0 1rem; border-top: 1px solid var(--line); }
dl.facts > div { padding: 0.6rem 0; border-bottom: 1px solid var(--line); }
dl.facts dt { color: var(--soft); font-size: 0.88rem; }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
ul.rows { list-style: none; margin: 0; padding: 0; }
ul.rows > li { padding: 0.7rem 0; border-top: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: 0.15rem 0.75rem; align-items: baseline; }
ul.rows > li:first-child { border-top: 0; padding-top: 0; }
ul.rows > li:last-child { padding-bottom: 0; }
ul.rows + p { margin-top: 1rem; }
ul.rows .name { font-weight: 600; overflow-wrap: anywhere; min-width: 0; }
ul.rows .badge.end, ul.rows form.end { margin-left: auto; }
ul.rows time { color: var(--soft); font-size: 0.9rem; }
ul.rows .below { flex-basis: 100%; color: var(--soft); font-size: 0.9rem; overflow-wrap: anywhere; }
.badge { display: inline-block; font-size: 0.8rem; font-weight: 600; padding: 0.08rem 0.55rem; border-radius: 99px; background: var(--code); color: var(--soft); overflow-wrap: anywhere; }
.badge.good { background: var(--good-soft); color: var(--good); }
.badge.warn { background: var(--warn-soft); color: var(--warn); }
.badge.bad { background: var(--bad-soft); color: var(--bad); }
fieldset.agent { border: 1px solid var(--line); border-radius: 11px; padding: 0.9rem 1rem; margin: 0 0 0.9rem; min-width: 0; }
fieldset.agent legend { float: left; width: 100%; display: flex; flex-wrap: wrap; gap: 0.3rem 0.6rem; align-items: baseline; margin-bottom: 0.6rem; overflow-wrap: anywhere; }
fieldset.agent legend + * { clear: both; }
fieldset.agent > :last-child { margin-bottom: 0; }
iframe.away { position: absolute; left: -99rem; width: 1px; height: 1px; border: 0; }
details { margin: 0 0 1rem; }
summary { cursor: pointer; color: var(--accent-ink); padding: 0.3rem 0; }
.list + .field { margin-top: 0.9rem; }
.list { max-height: 18rem; overflow-y: auto; border: 1px solid var(--line); border-radius: 9px; padding: 0.75rem; margin-top: 0.4rem; }
@media (min-width: 40rem) {
  ul.rows .end { margin-left: auto; }
  main { padding-top: 2.75rem; }
  .card { padding: 1.6rem; }
  h1 { font-size: 1.85rem; }
  dl.facts > div { display: grid; grid-template-columns: 10rem minmax(0, 1fr); gap: 1rem; }
  dl.facts dt { font-size: 0.95rem; }
  .actions > button:only-child { width: auto; }
  main.wide .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  main.wide .grid > .full { grid-column: 1 / -1; }
}
@media (prefers-reduced-motion: no-preference) { button, .button { transition: filter 0.12s; } }
`;

export const stylePath = `/assets/${createHash('sha256').update(style).digest('hex').slice(0, 16)}.css`;

export const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0f5f55"/><path d="M8 25V14a8 8 0 0 1 16 0v11M16 25V13M12 25v-9M20 25v-9M6 25h20" fill="none" stroke="#fff" stroke-width="2.2" stroke-linecap="round"/></svg>';
export const iconPath = '/assets/icon.svg';
