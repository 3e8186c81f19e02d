import { Fault, type FaultCode } from '#kernel';
import type { Session } from '#signin';
import { detailWords } from './authorization-details.ts';
import { settleDocument } from './client-documents.ts';
import { makeCode } from './codes.ts';
import { remember, remembered, tellRefusal } from './consents.ts';
import type { Authorization, Browsing, ConsentView, Issuing, Said } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { matrix } from './matrix.ts';
import { readParameters } from './parameters.ts';
import { holdPushed, newReference, requestUriOf } from './pushed-requests.ts';
import { isLocal, redirectHost, redirectSource } from './redirects.ts';
import { answerTo } from './responses.ts';
import { isOptional, scopeWords } from './scopes.ts';
import { signInNeeded } from './sign-in-needed.ts';
import type { Detailed, Requested } from './stages.ts';
import { nameClient } from './steps/name-client.ts';
import { countWaiting, held, hold, isChosen, spend } from './waiting-requests.ts';

/** How a request stands with the person at the browser. */
interface Standing {
  readonly browsing: Browsing;
  readonly startedAt: number;
  /** Gives the name under which the request waits. */
  wait(): Promise<string>;
  /** The person said that this session is the one they mean. */
  chosen(session: Session): Promise<boolean>;
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
  return judged(deps, requested, (asked) =>
    goOn(deps, asked, { browsing, startedAt, wait, chosen: async () => false, spend: async () => undefined }),
  );
}

export async function resume(deps: IssuerDeps, at: Issuing, transaction: string, browsing: Browsing): Promise<Authorization> {
  const { requested, startedAt } = await held(deps, at, transaction, browsing);
  const standing = {
    browsing,
    startedAt,
    wait: async () => transaction,
    chosen: (session: Session) => isChosen(deps, at, transaction, session),
    spend: () => spend(deps, at, transaction),
  };
  return judged(deps, requested, (asked) => goOn(deps, asked, standing));
}

export async function answer(deps: IssuerDeps, at: Issuing, transaction: string, browsing: Browsing, said: Said): Promise<Authorization> {
  const { requested, startedAt } = await held(deps, at, transaction, browsing);
  return judged(deps, requested, async (asked) => {
    const signIn = signInNeeded(asked, browsing.session, startedAt);
    if (signIn.needed) return { kind: 'sign_in', transaction, again: signIn.again, create: false };
    await spend(deps, at, transaction);
    const agreed = said === 'no' ? undefined : agreedTo(asked, said);
    if (agreed === undefined) await tellRefusal(deps, asked, signIn.session.user);
    if (agreed === undefined) throw new Fault('consent_refused');
    await remember(deps, agreed, signIn.session.user);
    return withCode(deps, agreed, signIn.session);
  });
}

/** What is left of a request; undefined when that is nothing. */
function agreedTo(asked: Detailed, said: Exclude<Said, 'no'>): (Detailed & { readonly declined: readonly string[] }) | undefined {
  const declined = said === 'all' ? [] : asked.scopes.filter((scope) => isOptional(scope) && !said.scopes.includes(scope));
  const scopes = asked.scopes.filter((scope) => !declined.includes(scope));
  return scopes.length === 0 && declined.length > 0 ? undefined : { ...asked, scopes, declined };
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
async function judged(deps: IssuerDeps, requested: Requested, then: (asked: Detailed) => Promise<Authorization>): Promise<Authorization> {
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

async function goOn(deps: IssuerDeps, asked: Detailed, standing: Standing): Promise<Authorization> {
  const quiet = asked.prompt.has('none');
  const signIn = signInNeeded(asked, standing.browsing.session, standing.startedAt);
  if (signIn.needed) {
    if (quiet) throw new Fault('login_needed');
    return { kind: 'sign_in', transaction: await standing.wait(), again: signIn.again, create: asked.prompt.has('create') };
  }
  if (await mustChoose(asked, signIn.session, standing))
    return { kind: 'account', transaction: await standing.wait(), client: asked.client.name };
  const kept = asked.prompt.has('consent') ? undefined : await remembered(deps, asked, signIn.session.user);
  if (kept === undefined) {
    if (quiet) throw new Fault('consent_needed');
    return { kind: 'consent', transaction: await standing.wait(), view: await viewOf(deps, asked) };
  }
  await standing.spend();
  return withCode(deps, { ...asked, scopes: kept }, signIn.session);
}

/** OpenID Connect Core §3.1.2.1, `select_account`: who signed in for this very request has chosen. */
async function mustChoose({ prompt }: Detailed, session: Session, { startedAt, chosen }: Standing): Promise<boolean> {
  return prompt.has('select_account') && session.authenticatedAt < startedAt && !(await chosen(session));
}

async function withCode(deps: IssuerDeps, asked: Detailed, { user, authenticatedAt, methods, sid }: Session): Promise<Authorization> {
  const { at, client, redirect, challenge, jkt, scopes, resources, nonce, delivery, idTokenClaims, details } = asked;
  const life = await deps.lifetimes.of(client, 'code');
  const given = {
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
    facts: { methods, idTokenClaims, ...(details.length === 0 ? {} : { details }) },
    epochs: { user: user.epoch, organization: at.organization.epoch },
    sid,
  };
  await settleDocument(deps, client);
  const code = await makeCode(deps, given, life);
  return answerTo(asked, { code: code.reveal() });
}

async function viewOf(deps: IssuerDeps, { at, client, redirect, scopes, resources, details }: Detailed): Promise<ConsentView> {
  const registered = await deps.resources.registered(at.organization.id);
  const types = await deps.detailsTypes.registered(at.organization.id);
  return {
    client: { id: client.id, name: client.name },
    source: client.source,
    host: client.url === undefined ? undefined : new URL(client.url).hostname,
    onlyLocal: client.redirectUris.every(isLocal),
    redirectHost: redirectHost(redirect),
    local: isLocal(redirect),
    scopes: scopes.map((name) => ({ name, tells: scopeWords(name, registered, resources), optional: isOptional(name) })),
    resources: resources.map((identifier) => ({ identifier, name: registered.get(identifier)?.name })),
    destination: redirectSource(redirect),
    details: details.map((detail) => detailWords(detail, types)),
  };
}
