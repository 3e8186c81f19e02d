import { randomBytes } from 'node:crypto';
import { type Authorization, type ConsentView, endpointPaths, type Said } from '#issuer';
import { Fault } from '#kernel';
import type { Session } from '#signin';
import { isForm } from '../body.ts';
import type { Incoming } from '../incoming.ts';
import { html, type Markup } from './html.ts';
import { facts, note, passwordAgain, tokenField } from './layout.ts';
import { type Form, mustProve, type PageAnswer, type PageKit, type PageRequest, type PageRoute, proveAgain, text, texts } from './page.ts';

const continuing = `${endpointPaths.authorize}/continue`;
const choosing = `${endpointPaths.authorize}/account`;
const answering = `${endpointPaths.authorize}/answer`;

/** The authorization endpoint, and the page on which a person says what a client may have. */
export function authorizePages(kit: PageKit): readonly PageRoute[] {
  const { issuer, slug } = kit.rooms;
  const begin = async (request: PageRequest): Promise<PageAnswer> => {
    const at = await issuer.at(slug);
    const known = kit.cookies.browser(request.incoming.headers.cookie);
    const binding = known ?? randomBytes(24).toString('base64url');
    const query = request.incoming.url.split('?').slice(1).join('?');
    const answer = await issuer.authorize(at, query, { session: request.session, binding, address: request.incoming.address });
    if (leaves(answer)) return leave(answer);
    const cookies = known === undefined ? { cookies: [kit.cookies.setBrowser(binding)] } : {};
    return { kind: 'go', to: answer.kind === 'sign_in' ? toSignIn(answer) : placeOf(answer.transaction), ...cookies };
  };
  return [
    { method: 'GET', path: endpointPaths.authorize, needs: 'anyone', handle: begin },
    {
      method: 'POST',
      path: endpointPaths.authorize,
      needs: 'anyone',
      fromElsewhere: true,
      async handle({ incoming }) {
        if (!isForm(incoming.headers['content-type'])) throw new Fault('unsupported_media_type');
        const query = await issuer.carry(await issuer.at(slug), new TextDecoder().decode(incoming.body), incoming.address);
        return { kind: 'go', to: `${endpointPaths.authorize}?${query}` };
      },
    },
    {
      method: 'GET',
      path: continuing,
      needs: 'anyone',
      async handle(request) {
        const transaction = request.query.get('transaction') ?? '';
        return shown(kit, request, await issuer.resume(await issuer.at(slug), transaction, browsing(kit, request)));
      },
    },
    {
      method: 'POST',
      path: choosing,
      needs: 'session',
      async handle(request) {
        const transaction = text(request.form, 'transaction');
        await issuer.choose(await issuer.at(slug), transaction, { ...browsing(kit, request), session: request.session });
        return { kind: 'go', to: placeOf(transaction) };
      },
    },
    {
      method: 'POST',
      path: answering,
      needs: 'session',
      handle: (request) => answered(kit, request),
    },
  ];
}

/** A yes gives access, so it takes what every page that gives access takes (SECURITY 4). */
async function answered(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const { issuer, slug } = kit.rooms;
  const at = await issuer.at(slug);
  const transaction = text(request.form, 'transaction');
  if (text(request.form, 'answer') !== 'yes')
    return shown(kit, request, await issuer.answer(at, transaction, browsing(kit, request), 'no'));
  const proved = await proveAgain(kit, request);
  if (proved.kind === 'not_proved') return shown(kit, request, await issuer.resume(at, transaction, browsing(kit, request)), proved.error);
  const own = { ...request, session: proved.session };
  return shown(kit, own, await issuer.answer(at, transaction, browsing(kit, own), said(request.form)));
}

/** Everything, or where there were boxes what was ticked and what had none. */
function said(form: Form): Said {
  return text(form, 'boxes') === 'shown' ? { scopes: texts(form, 'scope') } : 'all';
}

/** The client that a sign-in is for, when its next step is one of these pages. */
export async function waitingFor({ rooms, cookies }: PageKit, { headers }: Incoming, next: string) {
  const binding = cookies.browser(headers.cookie);
  const transaction = next.startsWith(`${continuing}?`) ? new URLSearchParams(next.split('?')[1]).get('transaction') : null;
  if (transaction === null || binding === undefined) return undefined;
  return rooms.issuer.waiting(await rooms.issuer.at(rooms.slug), transaction, binding);
}

/** @throws {Fault} `link_ended` in another browser than the one that began it */
function browsing({ cookies }: PageKit, { session, incoming }: PageRequest) {
  const binding = cookies.browser(incoming.headers.cookie);
  if (binding === undefined) throw new Fault('link_ended');
  return { session, binding, address: incoming.address };
}

type Leaving = Extract<Authorization, { readonly kind: 'redirect' | 'form' }>;

function leaves(answer: Authorization): answer is Leaving {
  return answer.kind === 'redirect' || answer.kind === 'form';
}

function leave(answer: Leaving): PageAnswer {
  return answer.kind === 'redirect' ? { kind: 'leave', to: answer.to } : { ...answer, kind: 'submit' };
}

function placeOf(transaction: string): string {
  return `${continuing}?transaction=${transaction}`;
}

interface ToSignIn {
  readonly transaction: string;
  readonly again: boolean;
  readonly create?: boolean;
}

function toSignIn({ transaction, again, create = false }: ToSignIn): string {
  return `/signin?next=${encodeURIComponent(placeOf(transaction))}${again ? '&again=yes' : ''}${create ? '&create=yes' : ''}`;
}

function shown(kit: PageKit, request: PageRequest, answer: Authorization, error?: string): PageAnswer {
  if (leaves(answer)) return leave(answer);
  if (answer.kind === 'sign_in' || request.session === undefined) return { kind: 'go', to: toSignIn({ again: false, ...answer }) };
  if (answer.kind === 'account') return account(kit, { ...request, session: request.session }, answer);
  return consent(kit, { ...request, session: request.session }, { ...answer, error });
}

/** One browser has one session, so the choice is that account or another one. */
function account(
  kit: PageKit,
  { token, session }: PageRequest<Session>,
  { transaction, client }: { transaction: string; client: string },
): PageAnswer {
  return {
    kind: 'page',
    title: 'Choose an account',
    body: html`<h1>Which account?</h1>
<p class="lead">${client} asks you to choose.</p>
<form class="card" method="post" action="${kit.base}${choosing}">${tokenField(token)}<input type="hidden" name="transaction" value="${transaction}">
<p>You are signed in as ${session.user.email}.</p>
<div class="actions"><button>Go on as ${session.user.email}</button><a class="button quiet" href="${kit.base}${toSignIn({ transaction, again: true })}">Use another account</a></div></form>`,
  };
}

interface Asking {
  readonly transaction: string;
  readonly view: ConsentView;
  /** Of the password that was typed. */
  readonly error: string | undefined;
}

function consent(kit: PageKit, { token, session, form, incoming }: PageRequest<Session>, { transaction, view, error }: Asking): PageAnswer {
  const { client, redirectHost, scopes, resources, details, destination } = view;
  // What was unticked stays so when the page is shown again.
  const ticked = incoming.unsafe ? texts(form, 'scope') : undefined;
  return {
    kind: 'page',
    status: error === undefined ? 200 : 403,
    title: `Let ${client.name} in?`,
    destination,
    body: html`<h1>Let ${client.name} in?</h1>
<p class="lead">It asks to act for you, as ${session.user.email}. You can end this at any time, on <a href="${kit.base}/account">your account</a>.</p>
${warnings(view).map((warning) => note('warn', warning))}
<form class="card" method="post" action="${kit.base}${answering}">${tokenField(token)}<input type="hidden" name="transaction" value="${transaction}">
${scopeList(scopes, ticked)}
${details.length > 0 && html`<ul>${details.map(({ type, tells, fields }) => html`<li>${tells} <code>${type}</code>${facts(fields)}</li>`)}</ul>`}
${facts([...clientFacts(view), ['The answer goes to', redirectHost], ...resourceFacts(resources)])}
${passwordAgain(mustProve(kit, session), error)}
<div class="actions"><button name="answer" value="yes">Yes, let it in</button><button class="quiet" name="answer" value="no" formnovalidate>No</button></div></form>
<p class="soft small">Not you? <a href="${kit.base}${toSignIn({ transaction, again: true })}">Sign in as somebody else</a></p>`,
  };
}

/** What it will be able to do; the person may leave out what is optional. */
function scopeList(scopes: ConsentView['scopes'], ticked: readonly string[] | undefined): Markup {
  const words = ({ name, tells }: ConsentView['scopes'][number]) => html`${tells} <code>${name}</code>`;
  const fixed = scopes.filter(({ optional }) => !optional);
  const free = scopes.filter(({ optional }) => optional);
  return html`${scopes.length > 0 && html`<p>It will be able to:</p>`}
${fixed.length > 0 && html`<ul>${fixed.map((scope) => html`<li>${words(scope)}</li>`)}</ul>`}
${free.length > 0 && html`<fieldset class="field"><input type="hidden" name="boxes" value="shown"><legend>And what you leave ticked</legend>${free.map((scope) => html`<label class="check"><input type="checkbox" name="scope[]" value="${scope.name}"${(ticked === undefined || ticked.includes(scope.name)) && html` checked`}><span>${words(scope)}</span></label>`)}</fieldset>`}`;
}

/** Only the host of its document is verified; what a client calls itself is its own word. */
function clientFacts({ client, host }: ConsentView): readonly (readonly [string, string])[] {
  return [...(host === undefined ? [] : [['Published by', host] as const]), ['Client', client.id]];
}

function warnings({ source, host, local, onlyLocal }: ConsentView): readonly string[] {
  return [
    ...(source === 'dynamic' ? ['This client registered itself: nobody here has checked its name.'] : []),
    ...(source === 'document' ? [`Nobody here has checked this client. All that is known of it is that ${host} publishes it.`] : []),
    ...(source === 'document' && onlyLocal ? ['It runs on your machine only, so any program there could call itself by this name.'] : []),
    ...(local ? ['The answer goes to a program on this machine. Say yes only if you have just started it yourself.'] : []),
  ];
}

function resourceFacts(resources: ConsentView['resources']): readonly (readonly [string, Markup])[] {
  return resources.map(({ identifier, name }) => ['For', name === undefined ? html`${identifier}` : html`${name} (${identifier})`]);
}
