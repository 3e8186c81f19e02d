import { html, linkTo } from './html.ts';
import type { PageAnswer } from './page.ts';

/**
 * To another site, after a form. Not by a redirect: browsers hold the answer to a form to `form-action`, and where that site
 * sends them on to is not ours to list.
 */
export function leaving(name: string, address: string, cookies: readonly string[] = []): PageAnswer {
  const to = linkTo(address);
  return {
    kind: 'page',
    title: `To ${name}`,
    refresh: { seconds: 0, to },
    cookies,
    body: html`<h1>Taking you to ${name}</h1><p class="lead">Nothing happens? <a href="${to}" rel="noreferrer">Go on by hand.</a></p>`,
  };
}
