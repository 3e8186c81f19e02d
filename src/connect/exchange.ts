import { Secret } from '#kernel';
import type { GuardedAnswer } from '#net';
import type { OauthAuth } from './provider.ts';

/** Who we are at the authorization server. */
export interface ClientIdentity {
  readonly id: string;
  readonly secret: Secret<string> | undefined;
  readonly authentication: OauthAuth['client_authentication'];
}

/** A token request, ready to send. The body and one header may hold secrets. */
export interface TokenRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, Secret<string>>>;
  readonly body: Secret<string>;
}

export interface Tokens {
  readonly accessToken: Secret<string>;
  /** Absent: the provider sent none, and an older one stays good. */
  readonly refreshToken: Secret<string> | undefined;
  /** Absolute, by the clock given to the judge; undefined: the provider did not say. */
  readonly expiresAt: number | undefined;
  /** What was granted; undefined: what was asked for (RFC 6749 §5.1). */
  readonly scopes: readonly string[] | undefined;
  /** The whole answer, for who the account is. Holds secrets. */
  readonly answer: Secret<Readonly<Record<string, unknown>>>;
}

/**
 * What an answer of the token endpoint means. `transient`: it said no for now, the old token stays good until it
 * expires. `invalid_grant`: the person must connect again. `pending` and `slow_down` are answers to a device code.
 */
export type TokenJudgement =
  | { readonly kind: 'ok'; readonly tokens: Tokens }
  | { readonly kind: 'transient'; readonly reason: string }
  | { readonly kind: 'invalid_grant'; readonly reason: string }
  | { readonly kind: 'rate_limited'; readonly retryAfter: number | undefined }
  | { readonly kind: 'pending' }
  | { readonly kind: 'slow_down' }
  | { readonly kind: 'refused'; readonly reason: string };

/** A request to the token endpoint with these parameters and the client's authentication (RFC 6749 §2.3.1). */
export function buildTokenRequest(
  auth: Pick<OauthAuth, 'token_request'>,
  endpoint: string,
  client: ClientIdentity,
  parameters: Readonly<Record<string, string>>,
): TokenRequest {
  const secret = client.secret?.reveal();
  const byBasic = client.authentication === 'client_secret_basic' && secret !== undefined;
  const inBody = byBasic ? {} : { client_id: client.id, ...(secret === undefined ? {} : { client_secret: secret }) };
  const all = { ...auth.token_request.parameters, ...parameters, ...inBody };
  const json = auth.token_request.format === 'json';
  const headers = {
    accept: 'application/json',
    'content-type': json ? 'application/json' : 'application/x-www-form-urlencoded',
    ...auth.token_request.headers,
    ...(byBasic ? { authorization: basicAuthorization(client.id, secret) } : {}),
  };
  return {
    url: endpoint,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, new Secret(value)])),
    body: new Secret(json ? JSON.stringify(all) : new URLSearchParams(all).toString()),
  };
}

/** Id and secret are form-encoded before they are joined (RFC 6749 §2.3.1). */
export function basicAuthorization(id: string, secret: string): string {
  return `Basic ${Buffer.from(`${formEncoded(id)}:${formEncoded(secret)}`).toString('base64')}`;
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

/** The request that trades a refresh token for new tokens (RFC 6749 §6). */
export function buildRefresh(
  auth: Pick<OauthAuth, 'token_request'>,
  endpoint: string,
  client: ClientIdentity,
  refreshToken: Secret<string>,
): TokenRequest {
  return buildTokenRequest(auth, endpoint, client, { grant_type: 'refresh_token', refresh_token: refreshToken.reveal() });
}

/** Judges the answer to a refresh: `ok`, `transient`, `invalid_grant` or `rate_limited`. Pure. */
export function judgeRefresh(
  auth: Pick<OauthAuth, 'token_response' | 'scope_separator'>,
  answer: GuardedAnswer,
  now: number,
): Extract<TokenJudgement, { kind: 'ok' | 'transient' | 'invalid_grant' | 'rate_limited' }> {
  const judged = judgeTokens(auth, answer, now);
  if (judged.kind === 'pending' || judged.kind === 'slow_down') return { kind: 'transient', reason: judged.kind };
  return judged.kind === 'refused' ? { kind: 'transient', reason: judged.reason } : judged;
}

/** Judges any answer of a token endpoint. Pure: `now` is when it was asked, in milliseconds. */
export function judgeTokens(
  auth: Pick<OauthAuth, 'token_response' | 'scope_separator'>,
  answer: GuardedAnswer,
  now: number,
): TokenJudgement {
  if (answer.status === 429) return { kind: 'rate_limited', retryAfter: retryAfterOf(answer.headers['retry-after'], now) };
  if (answer.status >= 500) return { kind: 'transient', reason: `status_${answer.status}` };
  const body = parseAnswer(auth.token_response.format, answer);
  if (body === undefined) return { kind: 'transient', reason: 'unreadable_answer' };
  const held = auth.token_response.under === undefined ? body : memberAt(body, auth.token_response.under);
  const accessToken = isRecord(held) ? held.access_token : undefined;
  if (answer.status >= 200 && answer.status < 300 && isRecord(held) && isBearerText(accessToken) && isBearerKind(held.token_type)) {
    return { kind: 'ok', tokens: tokensOf(auth, held, body, accessToken, now) };
  }
  return judgeError(errorOf(body), answer.status);
}

function tokensOf(
  auth: Pick<OauthAuth, 'token_response' | 'scope_separator'>,
  held: Readonly<Record<string, unknown>>,
  body: Readonly<Record<string, unknown>>,
  accessToken: string,
  now: number,
): Tokens {
  const life = lifeOf(held.expires_in) ?? auth.token_response.assumed_life;
  const refreshToken = held.refresh_token;
  return {
    accessToken: new Secret(accessToken),
    refreshToken: isBearerText(refreshToken) ? new Secret(refreshToken) : undefined,
    expiresAt: life === undefined ? undefined : now + life * 1000,
    scopes: scopesOf(held.scope),
    answer: new Secret(body),
  };
}

/** Errors that mean the grant is gone, by the names that providers give them. */
const goneGrants = new Set(
  'invalid_grant bad_refresh_token invalid_refresh_token expired_token token_expired token_revoked invalid_token access_denied'.split(' '),
);

function judgeError(error: string | undefined, status: number): TokenJudgement {
  if (error === undefined) return { kind: 'transient', reason: `status_${status}` };
  if (error === 'authorization_pending') return { kind: 'pending' };
  if (error === 'slow_down') return { kind: 'slow_down' };
  if (error === 'temporarily_unavailable' || error === 'server_error') return { kind: 'transient', reason: error };
  if (error === 'ratelimited' || error === 'rate_limited') return { kind: 'rate_limited', retryAfter: undefined };
  return goneGrants.has(error) ? { kind: 'invalid_grant', reason: error } : { kind: 'refused', reason: error };
}

/** The OAuth error code; never the description, which may repeat what we sent. */
function errorOf(body: Readonly<Record<string, unknown>>): string | undefined {
  const code = isRecord(body.error) ? (body.error.code ?? body.error.type) : body.error;
  return typeof code === 'string' && /^[a-zA-Z0-9_.-]{1,64}$/.test(code) ? code : undefined;
}

function parseAnswer(format: OauthAuth['token_response']['format'], answer: GuardedAnswer): Readonly<Record<string, unknown>> | undefined {
  const text = Buffer.from(answer.body).toString('utf8').trim();
  const formTyped = answer.headers['content-type']?.toLowerCase().includes('x-www-form-urlencoded') === true;
  const asForm = format === 'form' || (format === 'either' && (formTyped || !/^[[{"]/.test(text)));
  if (asForm) return text.includes('=') ? Object.fromEntries(new URLSearchParams(text)) : undefined;
  try {
    const parsed = JSON.parse(text) as unknown;
    return isRecord(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

const longestLife = 10 * 365 * 24 * 3600;

/** Seconds, from a number or its text. Zero, negative and nonsense are as if absent. */
function lifeOf(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && /^\d{1,12}(\.\d+)?$/.test(value.trim()) ? Number(value) : value;
  if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds <= 0) return undefined;
  return Math.min(Math.floor(seconds), longestLife);
}

/** Seconds from a `Retry-After` of either form (RFC 9110 §10.2.3). */
export function retryAfterOf(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value);
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - now) / 1000));
}

function scopesOf(value: unknown): readonly string[] | undefined {
  if (Array.isArray(value)) return value.filter((scope): scope is string => typeof scope === 'string');
  if (typeof value !== 'string') return undefined;
  return value.split(/[ ,]+/).filter((scope) => scope !== '');
}

/** Text that can stand in a header as it is; anything else would change the request. */
export function isBearerText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 16_384 && /^[\x21-\x7e]+$/.test(value);
}

/** Tokens that need a proof of possession with each call are not ones we can inject. */
function isBearerKind(value: unknown): boolean {
  return typeof value !== 'string' || !/^(dpop|mac|pop)$/i.test(value);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The member at a dotted path, or undefined. */
export function memberAt(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((at, name) => (isRecord(at) && Object.hasOwn(at, name) ? at[name] : undefined), value);
}
