import { createHash, timingSafeEqual } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import { Fault, type FlowId, isFault, type OrganizationId, type Principal, parseId, Secret, type SessionId } from '#kernel';
import { bearerValue, createPkce } from '#oauth';
import { bearerKey, madeFrom, sha256 } from '#store';
import { accountOf } from './account.ts';
import type { Fields } from './api-key-flow.ts';
import { connectionOf, pinnedOf } from './connection.ts';
import { connectionById } from './connections.sql.ts';
import type { Connection, Flow } from './contract.ts';
import { type ConnectDeps, callbackUrl, endedByOwner } from './deps.ts';
import { disconnect } from './disconnect.ts';
import type { Endpoints } from './endpoints.ts';
import type { ClientIdentity } from './exchange.ts';
import { type FlowDoc, type FlowRecord, flowOf, loadFlow, openFlow, saveDoc } from './flow-record.ts';
import { type BroughtState, failFlow, type MadeFromState, makeConnection } from './making.ts';
import { credentialOfTokens, oauthOf } from './oauth-credential.ts';
import type { OauthAuth, Provider } from './provider.ts';
import type { Providers } from './providers.ts';
import { personOf, sameParty } from './rights.ts';
import { typedHosts } from './tenants.ts';
import { exchange, tokensOf } from './token-endpoint.ts';

type Deps = ConnectDeps & { readonly providers: Providers };

const stateLife = 10 * 60_000;

/**
 * The address at the provider where the browser goes next. Binds a new `state` to this session; one handed out earlier
 * for the same flow is good no more. Where the provider has tenant hosts, the person names theirs before leaving.
 * @throws {Fault} `not_found`, `forbidden`, `link_ended`, `provider_unknown`, `invalid_request`
 */
export async function authorizationUrl(deps: Deps, by: Principal, session: SessionId, id: FlowId, fields: Fields = {}): Promise<string> {
  const flow = await openFlow(deps, by.organization, id, (starter) => sameParty(starter, personOf(by)));
  const { provider, auth } = await flowProvider(deps, flow);
  const { hosts, problems } = typedHosts(provider, 'oauth2', fields.host);
  if (Object.keys(problems).length > 0) throw new Fault('invalid_request', { fields: problems });
  const state = bearerValue();
  const pkce = createPkce();
  const attempt = { session, state_hash: sha256(state.reveal()), verifier: pkce.verifier.reveal() };
  if (!(await saveDoc(deps, flow, { ...flow.doc, attempt, hosts: [...hosts] }))) throw new Fault('conflict');
  const pointer = JSON.stringify({ organization: by.organization, flow: id });
  await deps.ephemera.put(bearerKey('oauth_state', state.reveal()), pointer, stateLife);
  return addressOf(deps, flow.doc, auth, provider, state, pkce.challenge);
}

function addressOf(deps: Deps, doc: FlowDoc, auth: OauthAuth, provider: Provider, state: Secret<string>, challenge: string): string {
  if (doc.client === undefined || doc.endpoints.authorization === undefined)
    throw new Fault('provider_invalid', { detail: `${provider.id} has no authorization endpoint` });
  const url = new URL(doc.endpoints.authorization);
  const parameters = {
    ...auth.authorization_parameters,
    response_type: 'code',
    client_id: doc.client.id,
    redirect_uri: callbackUrl(deps),
    state: state.reveal(),
    ...(doc.scopes.length === 0 ? {} : { scope: doc.scopes.join(auth.scope_separator) }),
    ...(auth.pkce ? { code_challenge: challenge, code_challenge_method: 'S256' } : {}),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

/**
 * Ends a code flow with what the browser brought back. The state is taken first, so that it is good once, whoever
 * brings it; then it must be this person's, this session's and this flow's. Brought again, it makes nothing (`broughtAgain`).
 * @throws {Fault} `link_ended`, `forbidden`, `upstream_sign_in_failed`, `cancelled`, `connection_exists`
 */
export async function completeCode(
  deps: Deps,
  by: Principal,
  session: SessionId,
  callback: URL,
): Promise<{ readonly flow: Flow; readonly connection: Connection }> {
  const state = onlyOne(callback, 'state');
  const before = await broughtAgain(deps, by, session, state);
  if (before !== undefined) return before;
  const flow = await flowOfState(deps, by, session, state);
  const { provider, auth } = await flowProvider(deps, flow);
  try {
    const code = judgeCallback(flow.doc, callback, state);
    const connection = await redeem(deps, by, { flow, provider, auth, code, brought: { state, session } });
    const ended = await loadFlow(deps, by.organization, flow.row.id);
    return { flow: flowOf(deps, ended ?? flow), connection };
  } catch (error) {
    if (isFault(error)) await failFlow(deps, by, flow, error.code, error.details.detail ?? error.row.title);
    throw error;
  }
}

/**
 * A state that was spent before makes nothing (SECURITY 14). The session that spent it has loaded its page again, and is told
 * what came of it then. From anybody else it has leaked, and the code with it: what it made is ended.
 * @throws {Fault} `link_ended`
 */
async function broughtAgain(
  deps: Deps,
  by: Principal,
  session: SessionId,
  state: string,
): Promise<{ readonly flow: Flow; readonly connection: Connection } | undefined> {
  const { organization } = by;
  const kept = await deps.records.in(organization).read((tx) => madeFrom(tx, 'oauth_state', state));
  if (kept === undefined) return undefined;
  const made = JSON.parse(kept) as MadeFromState;
  const flow = await loadFlow(deps, organization, made.flow);
  const row = await deps.records.in(organization).read((tx) => connectionById(tx, organization, made.connection));
  // Of another organization, ended since, or replaced by what another flow made.
  if (flow === undefined || row === undefined || row.live === null || pinnedOf(row).flow !== made.flow) throw new Fault('link_ended');
  if (made.session === session && sameParty(flow.startedBy, personOf(by)))
    return { flow: flowOf(deps, flow), connection: connectionOf(row) };
  const fields = { provider: row.provider_id, name: row.name };
  await deps.records
    .in(organization)
    .write((tx) => deps.audit.record(tx, { name: 'connection.brought_again', principal: by, connection: row.id, fields }));
  await disconnect(deps, { organization, subject: flow.startedBy, actors: [] }, row.id);
  throw new Fault('link_ended', { detail: 'This answer of the provider was brought before, by somebody else; what it connected is ended' });
}

/** A parameter that is there once. @throws {Fault} `link_ended` */
function onlyOne(callback: URL, name: string): string {
  const values = callback.searchParams.getAll(name);
  const [value] = values;
  if (values.length !== 1 || value === undefined || value === '' || value.length > 4096) throw new Fault('link_ended');
  return value;
}

async function flowOfState(deps: Deps, by: Principal, session: SessionId, state: string): Promise<FlowRecord> {
  const pointer = await deps.ephemera.take(bearerKey('oauth_state', state));
  if (pointer === undefined) throw new Fault('link_ended');
  const { organization, flow } = JSON.parse(pointer) as { organization: OrganizationId; flow: string };
  const id = parseId('flw', flow);
  if (organization !== by.organization || id === undefined) throw new Fault('forbidden');
  const record = await openFlow(deps, organization, id, (starter) => sameParty(starter, personOf(by)));
  const { attempt } = record.doc;
  if (attempt === undefined || attempt.session !== session) throw new Fault('forbidden');
  if (!equalHashes(attempt.state_hash, sha256(state))) throw new Fault('link_ended');
  return record;
}

function equalHashes(a: string, b: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}

/** The provider as it is now; it must be the one the flow began with. */
async function flowProvider(deps: Deps, flow: FlowRecord): Promise<{ provider: Provider; auth: OauthAuth }> {
  const provider = await deps.providers.get(flow.row.organization_id, flow.row.provider_id);
  if (provider.digest !== flow.doc.digest) throw new Fault('link_ended', { detail: 'The provider definition changed meanwhile' });
  if (flow.row.kind !== 'pkce' && flow.row.kind !== 'dcr_pkce') throw new Fault('link_ended');
  return { provider, auth: oauthOf(provider) };
}

/**
 * The code, if the answer is from the server this flow went to (RFC 9207 §2.4) and not an error.
 * @throws {Fault} `cancelled` when the person said no, `upstream_sign_in_failed`
 */
export function judgeCallback(doc: Pick<FlowDoc, 'endpoints' | 'issuer' | 'names_itself'>, callback: URL, state: string): string {
  const given = callback.searchParams.getAll('iss');
  if (given.includes('')) throw new Fault('upstream_sign_in_failed', { detail: 'The answer names an empty issuer' });
  const issuer = doc.issuer ?? (given.length === 1 && sameOrigin(given[0], doc.endpoints.authorization) ? given[0] : undefined);
  const server: oauth.AuthorizationServer = {
    issuer: issuer ?? doc.endpoints.authorization ?? '',
    authorization_response_iss_parameter_supported: doc.names_itself,
  };
  try {
    const parameters = oauth.validateAuthResponse(server, { client_id: 'unused' }, callback, state);
    const code = parameters.get('code');
    if (code === null || code === '') throw new Fault('upstream_sign_in_failed', { detail: 'The provider sent no code' });
    return code;
  } catch (error) {
    if (isFault(error)) throw error;
    const denied = error instanceof oauth.AuthorizationResponseError && error.error === 'access_denied';
    if (denied) throw new Fault('cancelled', { detail: 'Access was not given at the provider', cause: error });
    throw new Fault('upstream_sign_in_failed', { cause: error });
  }
}

/** Without a known issuer, a server may only name an issuer on its own origin. */
function sameOrigin(issuer: string | undefined, endpoint: string | undefined): boolean {
  if (issuer === undefined || endpoint === undefined || !URL.canParse(issuer)) return false;
  return new URL(issuer).origin === new URL(endpoint).origin;
}

interface Redeeming {
  readonly flow: FlowRecord;
  readonly provider: Provider;
  readonly auth: OauthAuth;
  readonly code: string;
  readonly brought: BroughtState;
}

async function redeem(deps: Deps, by: Principal, { flow, provider, auth, code, brought }: Redeeming): Promise<Connection> {
  const client = clientOfDoc(flow.doc);
  const verifier = flow.doc.attempt?.verifier;
  const now = deps.clock.now();
  const judged = await exchange(deps.net, {
    auth,
    endpoint: flow.doc.endpoints.token,
    client,
    now,
    parameters: {
      grant_type: 'authorization_code',
      code,
      redirect_uri: callbackUrl(deps),
      ...(auth.pkce && verifier !== undefined ? { code_verifier: verifier } : {}),
    },
  });
  const tokens = tokensOf(judged);
  return makeConnection(deps, by, flow, provider, {
    kind: 'oauth2',
    credential: credentialOfTokens(tokens, now),
    account: await accountOf(deps.net, auth, tokens),
    scopes: tokens.scopes ?? flow.doc.scopes,
    expiresAt: tokens.expiresAt,
    client: client.id,
    hosts: flow.doc.hosts,
    byOwner: endedByOwner(deps, 'browser'),
    madeFrom: brought,
  });
}

export function clientOfDoc(doc: FlowDoc): ClientIdentity {
  if (doc.client === undefined) throw new Fault('link_ended');
  const { id, secret, authentication } = doc.client;
  return { id, secret: secret === undefined ? undefined : new Secret(secret), authentication };
}

/** What a code flow keeps: endpoints, client, issuer. */
export function codeDoc(endpoints: Endpoints, client: ClientIdentity): Pick<FlowDoc, 'client' | 'names_itself'> & { issuer?: string } {
  const secret = client.secret?.reveal();
  return {
    client: { id: client.id, ...(secret === undefined ? {} : { secret }), authentication: client.authentication },
    names_itself: endpoints.namesItself,
    ...(endpoints.issuer === undefined ? {} : { issuer: endpoints.issuer }),
  };
}
