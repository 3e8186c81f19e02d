import * as oauth from 'oauth4webapi';
import { Fault, isFault } from '#kernel';
import { callbackOf } from './callback.ts';
import type { Upstream } from './contract.ts';
import { clientOf, type UpstreamClient } from './credentials.ts';
import type { UpstreamDeps } from './deps.ts';
import { exchangeOptions, unreachable } from './metadata.ts';
import { type Claims, type Oauth2Preset, type OidcPreset, presets, textOf } from './presets.ts';
import type { Kept } from './registry.ts';
import type { Transaction } from './transaction.ts';

/** Who the upstream says came back. */
export interface Vouched {
  readonly claims: Claims;
  /** When the person last proved who they are there, in milliseconds, if it says. */
  readonly authenticatedAt: number | undefined;
}

interface Exchange {
  readonly upstream: Upstream;
  readonly server: oauth.AuthorizationServer;
  readonly ours: UpstreamClient;
  readonly transaction: Transaction;
  readonly parameters: URLSearchParams;
  readonly redirectUri: string;
}

/**
 * Judges the answer, redeems its code and gives what the upstream says of the person.
 * @throws {Fault} `cancelled` when the person said no there, `upstream_sign_in_failed`, `upstream_unreachable`
 */
export async function redeem(
  deps: UpstreamDeps,
  kept: Kept,
  transaction: Transaction,
  given: URLSearchParams,
  state: string,
): Promise<Vouched> {
  const { upstream } = kept;
  try {
    const server = await deps.metadata.of(upstream);
    const ours = await clientOf(deps, upstream, kept.envelope, server);
    const parameters = oauth.validateAuthResponse(naming(server, upstream, given), ours.client, given, state);
    const exchange = { upstream, server, ours, transaction, parameters, redirectUri: await callbackOf(deps, upstream) };
    const preset = presets[upstream.kind];
    const vouched = preset.protocol === 'oidc' ? await byIdToken(deps, preset, exchange) : await byApi(deps, preset, exchange);
    deps.metadata.heard(upstream, false);
    return vouched;
  } catch (error) {
    throw told(deps, upstream, error);
  }
}

/** Without a published issuer a server may name one, on its own origin (RFC 9207 §2.4). */
function naming(server: oauth.AuthorizationServer, { kind }: Upstream, given: URLSearchParams): oauth.AuthorizationServer {
  const named = given.getAll('iss');
  const [issuer] = named;
  if (presets[kind].protocol === 'oidc' || named.length !== 1 || issuer === undefined || !URL.canParse(issuer)) return server;
  return new URL(issuer).origin === new URL(server.issuer).origin ? { ...server, issuer } : server;
}

function told(deps: UpstreamDeps, upstream: Upstream, error: unknown): Fault {
  if (isFault(error)) {
    const lost = /^upstream_(unreachable|timeout|certificate)/.test(error.code) && error.details.detail === undefined;
    if (!lost) return error;
    deps.metadata.heard(upstream, true);
    return unreachable(upstream, error);
  }
  const denied = error instanceof oauth.AuthorizationResponseError && error.error === 'access_denied';
  if (denied) return new Fault('cancelled', { detail: `You did not sign in at ${upstream.label}`, cause: error });
  return new Fault('upstream_sign_in_failed', { detail: `The answer of ${upstream.label} cannot be believed`, cause: error });
}

function tokenRequest(deps: UpstreamDeps, { server, ours, parameters, redirectUri, transaction }: Exchange): Promise<Response> {
  const options = exchangeOptions(deps.net);
  return oauth.authorizationCodeGrantRequest(
    server,
    ours.client,
    ours.authentication,
    parameters,
    redirectUri,
    transaction.verifier,
    options,
  );
}

/** OpenID Connect Core §3.1.3: the ID token is checked whole, its signature too, whatever the channel. */
async function byIdToken(deps: UpstreamDeps, preset: OidcPreset, exchange: Exchange): Promise<Vouched> {
  const { server, ours, transaction, upstream } = exchange;
  const answer = await tokenRequest(deps, exchange);
  const tokens = await oauth.processAuthorizationCodeResponse(server, ours.client, answer, {
    expectedNonce: transaction.nonce,
    requireIdToken: true,
  });
  await oauth.validateApplicationLevelSignature(server, answer, exchangeOptions(deps.net));
  const token = oauth.getValidatedIdTokenClaims(tokens);
  if (token === undefined) throw new Fault('upstream_sign_in_failed', { detail: `${upstream.label} sent no ID token` });
  const authenticatedAt = token.auth_time === undefined ? undefined : token.auth_time * 1000;
  if (transaction.again) checkAskedAgain(preset, upstream, transaction, authenticatedAt);
  const claims = await withUserinfo(deps, exchange, token, tokens.access_token);
  const name = preset.nameIn?.(exchange.parameters);
  return { claims: name === undefined ? claims : { name, ...claims }, authenticatedAt };
}

/** Clocks differ a little. */
const skew = 60_000;

/** Where it was promised that the person is asked for their password there, the time of that is in the token (§2, `auth_time`). */
function checkAskedAgain(preset: OidcPreset, upstream: Upstream, { at }: Transaction, authenticatedAt: number | undefined): void {
  const unsaid = authenticatedAt === undefined && preset.reauthentication !== 'max_age';
  if (unsaid || (authenticatedAt !== undefined && authenticatedAt >= at - skew)) return;
  throw new Fault('upstream_sign_in_failed', { detail: `${upstream.label} did not ask you to sign in again` });
}

/** Asked where the ID token is silent about the address; its `sub` must be that of the token (§5.3.2). */
async function withUserinfo(deps: UpstreamDeps, { server, ours }: Exchange, token: oauth.IDToken, accessToken: string): Promise<Claims> {
  if (textOf(token.email) !== undefined || server.userinfo_endpoint === undefined) return token;
  const answer = await oauth.userInfoRequest(server, ours.client, accessToken, exchangeOptions(deps.net));
  const { sub: _, ...more } = await oauth.processUserInfoResponse(server, ours.client, token.sub, answer);
  return { ...more, ...token };
}

/** GitHub's way: no ID token; who it is, is asked for. */
async function byApi(deps: UpstreamDeps, preset: Oauth2Preset, exchange: Exchange): Promise<Vouched> {
  const { server, ours, upstream } = exchange;
  const tokens = await oauth.processAuthorizationCodeResponse(server, ours.client, await tokenRequest(deps, exchange));
  const { user, emails } = preset.endpoints(upstream.issuer);
  const ask = async (url: string): Promise<unknown> => {
    const answer = await oauth.protectedResourceRequest(
      tokens.access_token,
      'GET',
      new URL(url),
      new Headers({ accept: 'application/json' }),
      null,
      exchangeOptions(deps.net),
    );
    if (answer.status !== 200) throw new Fault('upstream_sign_in_failed', { detail: `${upstream.label} did not say who you are` });
    return answer.json();
  };
  const [person, addresses] = [await ask(user), await ask(emails)];
  const claims = isRecord(person) ? person : {};
  const primary = (Array.isArray(addresses) ? addresses : []).filter(isRecord).find((one) => one.primary === true);
  const { email: _, ...rest } = claims;
  const about = { name: textOf(claims.name) ?? textOf(claims.login), email: primary?.email, email_verified: primary?.verified };
  return { claims: { ...rest, ...about }, authenticatedAt: undefined };
}

function isRecord(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
