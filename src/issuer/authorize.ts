import { Fault, type FaultCode } from '#kernel';
import type { Session } from '#signin';
import { makeCode } from './codes.ts';
import { remember, remembers, tellRefusal } from './consents.ts';
import type { Authorization, Browsing, ConsentView, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { matrix } from './matrix.ts';
import { readParameters } from './parameters.ts';
import { holdPushed, newReference, requestUriOf } from './pushed-requests.ts';
import { isLocal, redirectHost, redirectSource } from './redirects.ts';
import { answerTo } from './responses.ts';
import { scopeWords } from './scopes.ts';
import type { Prompted, Requested } from './stages.ts';
import { nameClient } from './steps/name-client.ts';
import { countWaiting, held, hold, spend } from './waiting-requests.ts';

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
  const requested = await matrix.request.run(deps, { at, parameters: readParameters(query), authorization: undefined });
  const startedAt = deps.clock.now();
  const wait = async () => {
    await countWaiting(deps, browsing);
    return hold(deps, requested, browsing, startedAt);
  };
  return judged(deps, requested, (asked) => goOn(deps, asked, { browsing, startedAt, wait, spend: async () => undefined }));
}

export async function resume(deps: IssuerDeps, at: Issuing, transaction: string, browsing: Browsing): Promise<Authorization> {
  const { requested, startedAt } = await held(deps, at, transaction, browsing);
  const wait = async () => transaction;
  return judged(deps, requested, (asked) => goOn(deps, asked, { browsing, startedAt, wait, spend: () => spend(deps, at, transaction) }));
}

export async function answer(deps: IssuerDeps, at: Issuing, transaction: string, browsing: Browsing, yes: boolean): Promise<Authorization> {
  const { requested, startedAt } = await held(deps, at, transaction, browsing);
  return judged(deps, requested, async (asked) => {
    const signIn = signInNeeded(asked, browsing.session, startedAt);
    if (signIn.needed) return { kind: 'sign_in', transaction, again: signIn.again };
    await spend(deps, at, transaction);
    if (!yes) await tellRefusal(deps, asked, signIn.session.user);
    if (!yes) throw new Fault('consent_refused');
    await remember(deps, asked, signIn.session.user);
    return withCode(deps, asked, signIn.session);
  });
}

/**
 * A request that came by POST (OpenID Connect Core §3.1.2.1), kept for a moment: browsers send no cookie of ours with what another
 * site posts, so who is there shows only when they come back by GET. Gives the query with which they do.
 */
export async function carry(deps: IssuerDeps, at: Issuing, form: string, address: string): Promise<string> {
  const named = await nameClient(deps, { at, parameters: readParameters(form), authorization: undefined });
  const { client, parameters } = named;
  const query = (requestUri: string) => new URLSearchParams({ client_id: client.id, request_uri: requestUri }).toString();
  const pushed = parameters.one('request_uri');
  if (pushed !== undefined && parameters.one('request') === undefined) return query(pushed);
  await countWaiting(deps, { session: undefined, address });
  const { handle, hash } = newReference();
  await holdPushed(deps, client, hash, { text: parameters.text, delivery: { pushed: undefined, signed: false } });
  return query(requestUriOf(handle));
}

/** Told to who is at the browser, and not to the client. */
const forThePerson: ReadonlySet<FaultCode> = new Set(['link_ended', 'rate_limited']);

/** Every check of the request. What fails before the redirect is verified is thrown; what fails after goes back to the client. */
async function judged(deps: IssuerDeps, requested: Requested, then: (asked: Prompted) => Promise<Authorization>): Promise<Authorization> {
  const addressed = await matrix.redirect.run(deps, requested);
  try {
    return await then(await matrix.authorize.run(deps, addressed));
  } catch (error) {
    if (!(error instanceof Fault) || error.row.status >= 500 || forThePerson.has(error.code)) throw error;
    return answerTo(addressed, { error: error.row.oauth, error_description: describe(error) });
  }
}

/** In the characters that the standard allows (RFC 6749 §4.1.2.1). */
function describe({ message }: Fault): string {
  return message.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?');
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
  const { at, client, redirect, challenge, jkt, scopes, resources, nonce, delivery } = asked;
  const code = await makeCode(deps, {
    organization: at.organization.id,
    client: client.id,
    user: user.id,
    redirect,
    challenge,
    jkt,
    scopes,
    resources,
    nonce,
    pushed: delivery.pushed,
    authenticatedAt,
    epochs: { user: user.epoch, organization: at.organization.epoch },
  });
  return answerTo(asked, { code: code.reveal() });
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
