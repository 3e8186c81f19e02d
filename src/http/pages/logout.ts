import { endpointPaths, type Logout } from '#issuer';
import { Fault } from '#kernel';
import type { Session } from '#signin';
import { doneAt } from './done.ts';
import { html, type Markup } from './html.ts';
import { tokenField } from './layout.ts';
import { type PageAnswer, type PageKit, type PageRequest, type PageRoute, text } from './page.ts';

const answering = `${endpointPaths.logout}/answer`;
/** Of a request, as it fits in an address. */
const longest = 12_000;
/** For frames to be loaded before the browser goes on. */
const framesHave = 3;

/** Signing out: by the person, or as an application of theirs asks (OpenID Connect RP-Initiated Logout). */
export function logoutPages(kit: PageKit): readonly PageRoute[] {
  const { issuer, slug } = kit.rooms;
  return [
    {
      method: 'GET',
      path: endpointPaths.logout,
      needs: 'anyone',
      async handle(request) {
        const query = request.incoming.url.split('?').slice(1).join('?');
        return shown(kit, request, query, await issuer.logout(await issuer.at(slug), query, request.session, false));
      },
    },
    {
      method: 'POST',
      path: endpointPaths.logout,
      needs: 'anyone',
      fromElsewhere: true,
      async handle({ incoming }) {
        const query = new TextDecoder().decode(incoming.body);
        if (query.length > longest) throw new Fault('invalid_request', { detail: 'The parameters are too long' });
        // A form of another site comes without our cookies; what it leads to comes with them.
        return { kind: 'go', to: `${endpointPaths.logout}?${new URLSearchParams(query)}` };
      },
    },
    {
      method: 'POST',
      path: answering,
      needs: 'anyone',
      async handle(request) {
        if (text(request.form, 'answer') !== 'yes') return { kind: 'go', to: '/' };
        const query = text(request.form, 'query');
        return shown(kit, request, query, await issuer.logout(await issuer.at(slug), query, request.session, true));
      },
    },
    { method: 'GET', path: '/signout', needs: 'session', handle: async (request) => ask(kit, request, '', undefined) },
    {
      method: 'POST',
      path: '/signout',
      needs: 'session',
      handle: (request) => leave(kit, request.session),
    },
  ];
}

async function leave(kit: PageKit, session: Session): Promise<PageAnswer> {
  const { issuer, slug } = kit.rooms;
  return left(kit, await issuer.leave(await issuer.at(slug), session), undefined);
}

function shown(kit: PageKit, request: PageRequest, query: string, answer: Logout): PageAnswer {
  if (answer.kind === 'ask') return ask(kit, request, query, answer);
  const cookies = [kit.cookies.clearSession()];
  const { to, frames, proved } = answer;
  if (frames.length > 0) return left(kit, frames, to);
  if (to !== undefined && proved) return { kind: 'leave', to, cookies };
  return { kind: 'page', title: 'You are signed out', cookies, body: out(kit, to) };
}

/** Applications are told by way of this browser, then it goes on. */
function left(kit: PageKit, frames: readonly string[], to: string | undefined): PageAnswer {
  const cookies = [kit.cookies.clearSession()];
  if (frames.length === 0) return { kind: 'go', to: doneAt('signed-out'), cookies };
  return {
    kind: 'page',
    title: 'You are signed out',
    cookies,
    frames,
    ...(to === undefined ? {} : { refresh: { seconds: framesHave, to } }),
    body: html`${out(kit, to)}${frames.map((address) => html`<iframe class="away" src="${address}" title="Signing out" tabindex="-1"></iframe>`)}`,
  };
}

function out(kit: PageKit, to: string | undefined): Markup {
  const onward =
    to === undefined
      ? html`<a href="${kit.base}/signin">Sign in again</a>`
      : html`<a class="button" href="${to}">Go on to ${hostOf(to)}</a>`;
  return html`<h1>You are signed out</h1><p class="lead">Of this browser. Your agents go on working.</p><p>${onward}</p>`;
}

function hostOf(to: string): string {
  const { host, protocol } = new URL(to);
  return host === '' ? protocol : host;
}

type Asking = Extract<Logout, { readonly kind: 'ask' }>;

function ask(kit: PageKit, request: PageRequest, query: string, asking: Asking | undefined): PageAnswer {
  const email = request.session?.user.email ?? '';
  return {
    kind: 'page',
    title: 'Sign out',
    destination: asking?.destination?.source,
    body: html`<h1>Sign out?</h1>
<p class="lead">${asking?.client !== undefined && html`${asking.client} asks for it. `}You are signed in as ${email}. Applications that you signed in to with this browser are told, and your agents go on working.</p>
${asking?.destination !== undefined && html`<p>Afterwards you go on to ${asking.destination.host}.</p>`}
<form method="post" action="${kit.base}${asking === undefined ? '/signout' : answering}">${tokenField(request.token)}<input type="hidden" name="query" value="${query}"><div class="actions"><button name="answer" value="yes">Sign out</button>${
      asking === undefined
        ? html`<a class="button quiet" href="${kit.base}/">Stay</a>`
        : html`<button class="quiet" name="answer" value="no">Stay</button>`
    }</div></form>`,
  };
}
