import type { WaitingRequest } from '#issuer';
import { Fault } from '#kernel';
import type { Session } from '#signin';
import { doneAt } from './done.ts';
import { html, type Markup } from './html.ts';
import { facts, note, passwordAgain, tokenField, when } from './layout.ts';
import { mustProve, type PageAnswer, type PageKit, type PageRequest, type PageRoute, proveAgain, text } from './page.ts';

/** What clients elsewhere ask the person who is signed in (CIBA): the list, and each with its question. */
export function requestPages(kit: PageKit): readonly PageRoute[] {
  return [
    {
      method: 'GET',
      path: '/requests',
      needs: 'session',
      handle: async ({ session }) => list(kit, await kit.rooms.issuer.backchannel.waiting(session)),
    },
    {
      method: 'GET',
      path: '/requests/:id',
      needs: 'session',
      handle: async (request) => ask(kit, request, await asked(kit, request)),
    },
    { method: 'POST', path: '/requests/:id', needs: 'session', handle: (request) => answered(kit, request) },
  ];
}

/** @throws {Fault} `link_ended` also for a request to somebody else */
async function asked(kit: PageKit, { session, params }: PageRequest<Session>): Promise<WaitingRequest> {
  const waiting = await kit.rooms.issuer.backchannel.waiting(session);
  const found = waiting.find(({ id }) => id === params.id);
  if (found === undefined) throw new Fault('link_ended', { detail: 'Nothing waits for you here: it was answered, or it is too late' });
  return found;
}

/** A yes gives access, so it takes what every page that gives access takes (SECURITY 4). */
async function answered(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const { issuer, slug } = kit.rooms;
  const at = await issuer.at(slug);
  const { id } = await asked(kit, request);
  if (text(request.form, 'answer') !== 'yes') {
    await issuer.backchannel.answer(at, request.session, id, false);
    return { kind: 'go', to: doneAt('request-refused') };
  }
  const proved = await proveAgain(kit, request);
  if (proved.kind === 'not_proved') return ask(kit, request, await asked(kit, request), proved.error);
  await issuer.backchannel.answer(at, proved.session, id, true);
  return { kind: 'go', to: doneAt('request') };
}

function list(kit: PageKit, waiting: readonly WaitingRequest[]): PageAnswer {
  return {
    kind: 'page',
    title: 'Who asks for you',
    refresh: { seconds: 15 },
    body: html`<h1>Who asks for you</h1>
${waiting.length === 0 ? html`<p class="lead">Nobody, right now. When an application asks you from somewhere else, it stands here.</p>` : requestRows(kit, waiting)}`,
  };
}

export function requestRows(kit: PageKit, waiting: readonly WaitingRequest[]): Markup | undefined {
  if (waiting.length === 0) return undefined;
  return html`<ul class="rows">${waiting.map(
    ({ id, client, bindingMessage, at }) =>
      html`<li><span class="name"><a href="${kit.base}/requests/${id}">${client.name}</a></span><span class="end soft small">${when(at)}</span>${bindingMessage !== undefined && html`<span class="below">${bindingMessage}</span>`}</li>`,
  )}</ul>`;
}

function ask(kit: PageKit, { token, session }: PageRequest<Session>, request: WaitingRequest, error?: string): PageAnswer {
  const { id, client, scopes, resources, bindingMessage, address, at, expiresAt } = request;
  return {
    kind: 'page',
    status: error === undefined ? 200 : 403,
    title: `Let ${client.name} in?`,
    body: html`<h1>Let ${client.name} in?</h1>
<p class="lead">It asks from somewhere else to act for you, as ${session.user.email}. Say yes only if you began this yourself.</p>
${bindingMessage === undefined ? note('warn', 'If you did not just ask for this, say no.') : note('warn', html`It has to show you the same words, or say no: <strong>${bindingMessage}</strong>`)}
<form class="card" method="post" action="${kit.base}/requests/${id}">${tokenField(token)}
<p>It will be able to:</p>
<ul>${scopes.map(({ name, tells }) => html`<li>${tells} <code>${name}</code></li>`)}</ul>
${facts([['Client', client.id], ['Asked from', address], ['Asked', when(at)], ['Good until', when(expiresAt)], ...(resources.length === 0 ? [] : [['For', resources.join(', ')] as const])])}
${passwordAgain(mustProve(kit, session), error)}
<div class="actions"><button name="answer" value="yes">Yes, let it in</button><button class="quiet" name="answer" value="no" formnovalidate>No</button></div></form>
<p class="soft small"><a href="${kit.base}/requests">Everything that waits for you</a></p>`,
  };
}
