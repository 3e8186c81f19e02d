import { type Connection, type Field, type Flow, type Provider, rests } from '#connect';
import { Fault, isFault, Secret } from '#kernel';
import type { Session } from '#signin';
import { flowOf } from '../routes/connections.ts';
import { fieldsOf } from '../views.ts';
import { allowForm, type Choices, choicesOf, chooseFrom, giveChosen, titleOf } from './allow.ts';
import { doneAt } from './done.ts';
import { html, linkTo, type Markup } from './html.ts';
import { command, field, note, tokenField } from './layout.ts';
import { leaving } from './leaving.ts';
import { mustProve, type PageAnswer, type PageKit, type PageRequest, type PageRoute, proveAgain, sentenceOf } from './page.ts';

/** Connecting an account, and what the new connection may be used for (SECURITY 4). */
export function connectPages(kit: PageKit): readonly PageRoute[] {
  return [
    { method: 'GET', path: '/connect/callback', needs: 'session', handle: (request) => callback(kit, request) },
    {
      method: 'GET',
      path: '/connect/:flow',
      needs: 'session',
      handle: async (request) => stand(kit, request, await begun(kit, request), {}),
    },
    { method: 'POST', path: '/connect/:flow/key', needs: 'session', handle: (request) => withKey(kit, request) },
    { method: 'POST', path: '/connect/:flow/go', needs: 'session', handle: (request) => leave(kit, request) },
    {
      method: 'GET',
      path: '/connect/:flow/allow',
      needs: 'session',
      handle: async (request) => ask(kit, request, await made(kit, request), undefined),
    },
    { method: 'POST', path: '/connect/:flow/allow', needs: 'session', handle: (request) => allow(kit, request) },
  ];
}

interface Begun {
  readonly flow: Flow;
  readonly provider: Provider;
}

/** @throws {Fault} `link_ended` */
async function begun(kit: PageKit, { params }: PageRequest<Session>): Promise<Begun> {
  const flow = await flowOf(kit, params.flow ?? '').catch((error: unknown) => {
    if (!isFault(error, 'not_found')) throw error;
    throw new Fault('link_ended', { hint: 'start again from your terminal: gatehouse login <provider>' });
  });
  return { flow, provider: await kit.rooms.connect.provider(kit.rooms.organization.id, flow.provider) };
}

interface Made extends Begun {
  readonly connection: Connection;
}

/** The connection a flow ended in, if it is this person's to give away. @throws {Fault} `not_found`, `link_ended`, `connection_unknown` */
async function made(kit: PageKit, request: PageRequest<Session>): Promise<Made> {
  const { flow, provider } = await begun(kit, request);
  if (flow.state.kind !== 'connected') throw new Fault('not_found', { detail: 'Nothing is connected yet' });
  const connection = await kit.look.connection(request.session.principal, flow.state.connection);
  if (connection.status.kind === 'disconnected')
    throw new Fault('link_ended', { detail: 'The account was disconnected', hint: `connect it again with: ${loginAgain(flow)}` });
  return { flow, provider, connection };
}

function loginAgain({ provider, name }: Flow): string {
  return `gatehouse login ${provider}${name === 'default' ? '' : ` --connection ${name}`}`;
}

interface Typed {
  readonly problem?: string;
  readonly status?: number;
  readonly fields?: Readonly<Record<string, string>>;
}

async function stand(kit: PageKit, request: PageRequest<Session>, { flow, provider }: Begun, typed: Typed): Promise<PageAnswer> {
  const { state } = flow;
  const title = `Connect ${provider.name}`;
  switch (state.kind) {
    case 'connected':
      return { kind: 'go', to: `/connect/${flow.id}/allow` };
    case 'failed':
      return { kind: 'page', status: 410, title, body: failed(flow, provider, state.detail) };
    case 'device':
      return { kind: 'page', title, refresh: { seconds: 5 }, body: device(provider, state.url, state.userCode) };
    case 'waiting': {
      const body = flow.kind === 'api_key' ? keyForm(kit, request, flow, provider, typed) : outward(kit, request, flow, provider, typed);
      return { kind: 'page', status: typed.status ?? 200, title, body };
    }
  }
}

function heading(flow: Flow, provider: Provider): Markup {
  return html`<h1>Connect ${provider.name}</h1>
<p class="lead">It will be kept sealed here as <strong>${provider.id}/${flow.name}</strong>. No agent ever sees it.</p>`;
}

function keyForm(kit: PageKit, request: PageRequest, flow: Flow, provider: Provider, typed: Typed): Markup {
  return html`${heading(flow, provider)}
${typed.problem !== undefined && note('bad', typed.problem)}
<form class="card" method="post" action="${kit.base}/connect/${flow.id}/key">${tokenField(request.token)}
${inputs(flow, provider, typed)}
<div class="actions"><button>Connect</button></div></form>
<p class="soft small">Where to find it: <a href="${linkTo(provider.documentation)}" rel="noreferrer">the documentation of ${provider.name}</a></p>`;
}

function inputs(flow: Flow, provider: Provider, typed: Typed): readonly Markup[] {
  return fieldsOf(provider, flow.kind).map(({ name, label, secret, help }: Field, index) =>
    field({
      name: `field_${name}`,
      label,
      type: secret ? 'password' : 'text',
      help,
      autofocus: index === 0,
      error: typed.fields?.[`/fields/${name}`] ?? typed.fields?.[`/${name}`],
    }),
  );
}

function outward(kit: PageKit, request: PageRequest, flow: Flow, provider: Provider, typed: Typed): Markup {
  const problem = typed.problem !== undefined && note('bad', typed.problem);
  const asks =
    flow.scopes.length === 0 ? undefined : html`<p>You will be asked for: ${flow.scopes.map((scope) => html`<code>${scope}</code> `)}</p>`;
  if (flow.kind === 'client_credentials') {
    return html`${heading(flow, provider)}
${problem}
<form class="card" method="post" action="${kit.base}/connect/${flow.id}/key">${tokenField(request.token)}<p>Gatehouse signs in with the client that you stored for ${provider.name}.</p>${asks}
${inputs(flow, provider, typed)}
<div class="actions"><button>Connect</button></div></form>`;
  }
  return html`${heading(flow, provider)}
${problem}
<form class="card" method="post" action="${kit.base}/connect/${flow.id}/go">${tokenField(request.token)}<p>You sign in at ${provider.name} itself, and come back here.</p>${asks}
${inputs(flow, provider, typed)}
<div class="actions"><button>Continue to ${provider.name}</button></div></form>`;
}

function device(provider: Provider, url: string, userCode: string): Markup {
  return html`<h1>Connect ${provider.name}</h1>
<p class="lead">Open ${provider.name} and type this code there. This page follows by itself.</p>
<div class="card"><p class="show">${userCode}</p><p><a class="button" href="${linkTo(url)}" rel="noreferrer" target="_blank">Open ${provider.name}</a></p><p class="soft small mono">${url}</p></div>`;
}

function failed(flow: Flow, provider: Provider, detail: string): Markup {
  return html`<h1>${provider.name} was not connected</h1>
${note('bad', detail)}
<div class="card"><p>Start again from your terminal:</p>${command(loginAgain(flow))}</div>`;
}

async function withKey(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const known = await begun(kit, request);
  try {
    await kit.rooms.connect.completeWithKey(request.session.principal, known.flow.id, typedIn(request, known), 'browser');
    return { kind: 'go', to: `/connect/${known.flow.id}/allow` };
  } catch (error) {
    return again(kit, request, known, error);
  }
}

/** The page once more, with what was wrong. */
function again(kit: PageKit, request: PageRequest<Session>, known: Begun, error: unknown): Promise<PageAnswer> {
  const { sentence, status, fields } = sentenceOf(error);
  return stand(kit, request, known, { problem: sentence, status, fields });
}

function typedIn({ form }: PageRequest<Session>, { flow, provider }: Begun): Readonly<Record<string, Secret<string>>> {
  const typed = fieldsOf(provider, flow.kind).flatMap(({ name }) => {
    const value = form[`field_${name}`];
    return typeof value === 'string' ? [[name, new Secret(value)] as const] : [];
  });
  return Object.fromEntries(typed);
}

/** To the provider. */
async function leave(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const known = await begun(kit, request);
  const { principal, id } = request.session;
  try {
    return leaving(known.provider.name, await kit.rooms.connect.authorizationUrl(principal, id, known.flow.id, typedIn(request, known)));
  } catch (error) {
    if (!isFault(error, 'invalid_request')) throw error;
    return again(kit, request, known, error);
  }
}

async function callback(kit: PageKit, { session, incoming }: PageRequest<Session>): Promise<PageAnswer> {
  const url = new URL(`${kit.rooms.publicUrl}${incoming.url}`);
  const { flow } = await kit.rooms.connect.complete(session.principal, session.id, url);
  return { kind: 'go', to: `/connect/${flow.id}/allow` };
}

async function ask(kit: PageKit, request: PageRequest<Session>, known: Made, told: Choices | undefined): Promise<PageAnswer> {
  const stale = mustProve(kit, request.session);
  const offered = await chooseFrom(kit, request.session, known.flow.allow);
  return {
    kind: 'page',
    status: told?.problem !== undefined ? 400 : told?.passwordError !== undefined ? 403 : 200,
    title: titleOf(known),
    body: allowForm({ kit, token: request.token, stale, ...known, offered, told }),
  };
}

async function allow(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const known = await made(kit, request);
  const offered = await chooseFrom(kit, request.session, known.flow.allow);
  const choices = choicesOf(request.form, offered, known.provider, kit.rooms.clock.now());
  if (choices.problem !== undefined) return ask(kit, request, known, choices);
  if (choices.chosen.length === 0 && !rests(known.connection)) return { kind: 'go', to: doneAt('connected') };
  const proved = await proveAgain(kit, request);
  if (proved.kind === 'not_proved') return ask(kit, request, known, { ...choices, passwordError: proved.error });
  await giveChosen(kit, proved.session, known, choices);
  // Without an agent the page says how to make one.
  if (offered.length === 0) return { kind: 'go', to: `/connect/${known.flow.id}/allow` };
  return { kind: 'go', to: doneAt(choices.chosen.length === 0 ? 'connected' : 'allowed') };
}
