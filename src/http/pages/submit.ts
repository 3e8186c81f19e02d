import { createHash } from 'node:crypto';
import { html, type Markup } from './html.ts';

/** The one script of all pages: it presses the button, for who lets scripts run. */
const script = html`<script>document.getElementById('answer').submit()</script>`;
const scriptHash = createHash('sha256')
  .update(script.toString().replace(/^<script>|<\/script>$/g, ''))
  .digest('base64');

/** An answer on its way to a client, in a form that posts itself (Form Post Response Mode §2). Without scripts there is the button. */
export function submitBody(to: string, members: Readonly<Record<string, string>>): Markup {
  return html`<h1>You are on your way back</h1>
<p class="lead">The application gets its answer from your browser. If nothing happens, press the button.</p>
<form id="answer" method="post" action="${to}">${Object.entries(members).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}<div class="actions"><button>Go on</button></div></form>
${script}`;
}

/**
 * Its policy: that script alone, and a form that goes to this kind of address; from there the application may send the browser on,
 * and browsers hold `form-action` against that too.
 */
export function submitPolicy(to: string): string {
  const { protocol } = new URL(to);
  return `default-src 'none'; script-src 'sha256-${scriptHash}'; style-src 'self'; img-src 'self'; form-action ${protocol}; frame-ancestors 'none'; base-uri 'none'`;
}
