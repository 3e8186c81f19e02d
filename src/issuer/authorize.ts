import { Fault, type FaultCode, type OrganizationId } from '#kernel';
import { bearerValue } from '#oauth';
import type { Session } from '#signin';
import { bearerKey, ephemeraKey, sha256 } from '#store';
import { makeCode } from './codes.ts';
import { remember, remembers, tellRefusal } from './consents.ts';
import type { Authorization, Browsing, ConsentView, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { lives } from './lives.ts';
import { matrix } from './matrix.ts';
import { readParameters } from './parameters.ts';
import { isLocal, redirectHost, redirectSource } from './redirects.ts';
import { scopeWords } from './scopes.ts';
import type { Addressed, Prompted } from './stages.ts';

/** A request that waits for its person: the query as it came, judged again at every step. */
interface Waiting {
  readonly organization: OrganizationId;
  readonly query: string;
  /** SHA-256 of what ties it to the browser that began it. */
  readonly binding: string;
  readonly startedAt: number;
}

/** How a request stands with the person at the browser. */
interface Standing {
  readonly browsing: Browsing;
  readonly startedAt: number;
  /** Gives the name under which the request waits. */
  wait(): Promise<string>;
  /** Spends the request, where it waited. @throws {Fault} `link_ended` */
  spend(): Promise<void>;
}

export async function authorize(deps: IssuerDeps, at: Issuing, query: string, browsing: Browsing): Promise<Authorization> {
  const startedAt = deps.clock.now();
  const wait = async () => {
    await countWaiting(deps, browsing);
    return hold(deps, { organization: at.organization.id, query, binding: sha256(browsing.binding), startedAt });
  };
  return judged(deps, at, query, (asked) => goOn(deps, asked, { browsing, startedAt, wait, spend: async () => undefined }));
}

export async function resume(deps: IssuerDeps, at: Issuing, transaction: string, browsing: Browsing): Promise<Authorization> {
  const { query, startedAt } = await held(deps, at, transaction, browsing);
  const wait = async () => transaction;
  return judged(deps, at, query, (asked) => goOn(deps, asked, { browsing, startedAt, wait, spend: () => spend(deps, transaction) }));
}

export async function answer(deps: IssuerDeps, at: Issuing, transaction: string, browsing: Browsing, yes: boolean): Promise<Authorization> {
  const { query, startedAt } = await held(deps, at, transaction, browsing);
  return judged(deps, at, query, async (asked) => {
    const signIn = signInNeeded(asked, browsing.session, startedAt);
    if (signIn.needed) return { kind: 'sign_in', transaction, again: signIn.again };
    await spend(deps, transaction);
    if (!yes) await tellRefusal(deps, asked, signIn.session.user);
    if (!yes) throw new Fault('consent_refused');
    await remember(deps, asked, signIn.session.user);
    return withCode(deps, asked, signIn.session);
  });
}

export async function waiting(deps: IssuerDeps, transaction: string, binding: string) {
  const found = await waitingOf(deps, transaction);
  if (found === undefined || found.binding !== sha256(binding)) return undefined;
  const parameters = readParameters(found.query);
  const client = await deps.clients.find(found.organization, parameters.one('client_id') ?? '');
  const redirect = parameters.one('redirect_uri') ?? client?.redirectUris[0];
  if (client === undefined || redirect === undefined || !URL.canParse(redirect)) return undefined;
  return { client: client.name, destination: redirectSource(redirect) };
}

/** Told to who is at the browser, and not to the client. */
const forThePerson: ReadonlySet<FaultCode> = new Set(['link_ended', 'rate_limited']);

/** Every check of the endpoint. What fails before the redirect is verified is thrown; what fails after goes back to the client. */
async function judged(
  deps: IssuerDeps,
  at: Issuing,
  query: string,
  then: (asked: Prompted) => Promise<Authorization>,
): Promise<Authorization> {
  const addressed = await matrix.redirect.run(deps, { at, parameters: readParameters(query), authorization: undefined });
  try {
    return await then(await matrix.authorize.run(deps, addressed));
  } catch (error) {
    if (!(error instanceof Fault) || error.row.status >= 500 || forThePerson.has(error.code)) throw error;
    return { kind: 'redirect', to: answerTo(addressed, { error: error.row.oauth, error_description: error.message }) };
  }
}

async function goOn(deps: IssuerDeps, asked: Prompted, standing: Standing): Promise<Authorization> {
  const quiet = asked.prompt.has('none');
  const signIn = signInNeeded(asked, standing.browsing.session, standing.startedAt);
  if (signIn.needed) {
    if (quiet) throw new Fault('login_needed');
    return { kind: 'sign_in', transaction: await standing.wait(), again: signIn.again };
  }
  if (asked.prompt.has('consent') || !(await remembers(deps, asked, signIn.session.user))) {
    if (quiet) throw new Fault('consent_needed');
    return { kind: 'consent', transaction: await standing.wait(), view: await viewOf(deps, asked) };
  }
  await standing.spend();
  return withCode(deps, asked, signIn.session);
}

type SignIn = { readonly needed: true; readonly again: boolean } | { readonly needed: false; readonly session: Session };

/** Whether the person must prove who they are, first or once more (OpenID Connect Core §3.1.2.1: prompt, max_age). */
function signInNeeded(asked: Prompted, session: Session | undefined, startedAt: number): SignIn {
  if (session === undefined || session.organization !== asked.at.organization.id) return { needed: true, again: session !== undefined };
  const old = asked.maxAge !== undefined && startedAt - session.authenticatedAt > asked.maxAge;
  const before = asked.prompt.has('login') && session.authenticatedAt < startedAt;
  return old || before ? { needed: true, again: true } : { needed: false, session };
}

async function withCode(deps: IssuerDeps, asked: Prompted, { user, authenticatedAt }: Session): Promise<Authorization> {
  const { at, client, redirect, challenge, scopes, resources, nonce } = asked;
  const code = await makeCode(deps, {
    organization: at.organization.id,
    client: client.id,
    user: user.id,
    redirect,
    challenge,
    scopes,
    resources,
    nonce,
    authenticatedAt,
    epochs: { user: user.epoch, organization: at.organization.epoch },
  });
  return { kind: 'redirect', to: answerTo(asked, { code: code.reveal() }) };
}

/** The redirect URI with the answer, `state` as it came and `iss`, errors too (RFC 9207 §2). */
function answerTo({ at, redirect, parameters }: Addressed, answer: Readonly<Record<string, string>>): string {
  const [state, ...more] = parameters.all('state');
  const members = { ...answer, ...(state === undefined || more.length > 0 ? {} : { state }), iss: at.issuer };
  return `${redirect}${redirect.includes('?') ? '&' : '?'}${new URLSearchParams(members)}`;
}

async function viewOf(deps: IssuerDeps, { at, client, redirect, scopes, resources }: Prompted): Promise<ConsentView> {
  const registered = await deps.resources.registered(at.organization.id);
  return {
    client: { id: client.id, name: client.name },
    redirectHost: redirectHost(redirect),
    local: isLocal(redirect),
    scopes: scopes.map((name) => ({ name, tells: scopeWords(name, registered, resources) })),
    resources: resources.map((identifier) => ({ identifier, name: registered.get(identifier)?.name })),
    destination: redirectSource(redirect),
  };
}

/** Requests that may come to wait from one address, or in one session: as many as may then try to sign in. */
const mostWaiting = { most: 200, window: 15 * 60_000 };

/** @throws {Fault} `rate_limited` */
async function countWaiting({ ephemera }: IssuerDeps, { session, address }: Browsing): Promise<void> {
  const key = ephemeraKey('rate', 'authorization_request', session?.id ?? address.slice(0, 64));
  const count = await ephemera.bump(key, mostWaiting.window);
  if (count > mostWaiting.most) throw new Fault('rate_limited', { retryAfter: mostWaiting.window / 1000 });
}

async function hold(deps: IssuerDeps, waiting: Waiting): Promise<string> {
  const transaction = bearerValue().reveal();
  await deps.ephemera.put(bearerKey('authorization_request', transaction), JSON.stringify(waiting), lives.request);
  return transaction;
}

async function waitingOf(deps: IssuerDeps, transaction: string): Promise<Waiting | undefined> {
  const text = await deps.ephemera.get(bearerKey('authorization_request', transaction));
  return text === undefined ? undefined : (JSON.parse(text) as Waiting);
}

/** @throws {Fault} `link_ended` unless this very browser began it, at this issuer */
async function held(deps: IssuerDeps, at: Issuing, transaction: string, browsing: Browsing): Promise<Waiting> {
  const found = await waitingOf(deps, transaction);
  if (found?.organization !== at.organization.id || found.binding !== sha256(browsing.binding)) throw new Fault('link_ended');
  return found;
}

async function spend(deps: IssuerDeps, transaction: string): Promise<void> {
  if ((await deps.ephemera.take(bearerKey('authorization_request', transaction))) === undefined) throw new Fault('link_ended');
}
