import { html } from './html.ts';
import type { PageKit, PageRoute } from './page.ts';

/** What has just happened, by the word in the address: no text of anybody else is ever shown here. */
const endings = {
  'signed-out': ['You are signed out', 'Your agents go on working.'],
  confirmed: ['Done', 'It is in force from now on. You can close this page and go back to the terminal.'],
  refused: ['Nothing was changed', 'You said no, and that is final for this request. You can close this page.'],
  connected: ['Connected', 'You can close this page and go back to the terminal.'],
  allowed: ['Connected, and allowed', 'What you chose is in force from now on. You can close this page and go back to the terminal.'],
  device: ['Your device is let in', 'You can close this page and go back to it. You can end its access at any time.'],
  'device-refused': ['It was not let in', 'The device is told so. You can close this page.'],
  request: ['It is let in', 'You can close this page and go back to it. You can end its access at any time.'],
  'request-refused': ['It was not let in', 'Who asked is told so. You can close this page.'],
  'command-line': ['Your command line is signed in', 'You can close this page and go back to the terminal.'],
} as const satisfies Record<string, readonly [string, string]>;

const tick = html`<svg class="tick" viewBox="0 0 24 24" aria-hidden="true" focusable="false" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"><circle cx="12" cy="12" r="10"/><path d="M7.5 12.5l3 3 6-6.5"/></svg>`;
const dash = html`<svg class="tick no" viewBox="0 0 24 24" aria-hidden="true" focusable="false" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"><circle cx="12" cy="12" r="10"/><path d="M8 12h8"/></svg>`;

export type Ending = keyof typeof endings;

export function doneAt(what: Ending): string {
  return `/done?what=${what}`;
}

export function donePages(kit: PageKit): readonly PageRoute[] {
  return [
    {
      method: 'GET',
      path: '/done',
      needs: 'anyone',
      async handle({ query }) {
        const what = query.get('what') ?? '';
        const [title, sentence] = Object.hasOwn(endings, what) ? endings[what as Ending] : (['Done', 'You can close this page.'] as const);
        const onward =
          what === 'signed-out' ? html`<a href="${kit.base}/signin">Sign in again</a>` : html`<a href="${kit.base}/">See everything</a>`;
        return {
          kind: 'page',
          title,
          body: html`${what.endsWith('refused') ? dash : tick}<h1>${title}</h1><p class="lead">${sentence}</p><p>${onward}</p>`,
        };
      },
    },
  ];
}
