import type { Fault } from '#kernel';
import { html } from './html.ts';
import { page } from './layout.ts';
import { capital } from './page.ts';

/** A fault as a page: what happened, what to do, and the id to tell the operator. Nothing of the request is repeated. */
export function errorPage(root: string, prefix: string, fault: Fault, requestId: string): string {
  const base = root + prefix;
  const { row, details } = fault;
  const detail = fault.code === 'internal' || details.detail === row.title ? undefined : details.detail;
  return page({
    root,
    base,
    title: row.title,
    body: html`<h1>${row.title}</h1>
${detail !== undefined && html`<p>${detail}.</p>`}
<p class="lead">${capital(fault.hint)}.</p>
${fault.code !== 'setup_required' && html`<p><a class="button quiet" href="${base}/">Go to the start</a></p>`}
<p class="soft small">Request <span class="mono">${requestId}</span></p>`,
  });
}
