import { type Fault, isFault, Secret } from '#kernel';
import { grantParameters } from './client-credentials-flow.ts';
import { identityOf, knownClient } from './clients.ts';
import { pinnedOf } from './connection.ts';
import { buildRefresh, buildTokenRequest, type ClientIdentity, judgeRefresh, type TokenRequest, type Tokens } from './exchange.ts';
import type { FreshDeps, Held } from './held.ts';
import { oauthOf } from './oauth-credential.ts';
import type { OauthAuth } from './provider.ts';
import { upstreamDeadline } from './refresh-lease.ts';
import { sendTokenRequest } from './token-endpoint.ts';

/**
 * What came of asking. `unknown`: it may have reached the provider, and no answer came back. `not_sent`: it did not, the
 * lease was lost before.
 */
export type Outcome =
  | { readonly kind: 'ok'; readonly tokens: Tokens; readonly at: number }
  | { readonly kind: 'transient' }
  | { readonly kind: 'rate_limited'; readonly retryAfter: number | undefined }
  | { readonly kind: 'invalid_grant' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'not_sent' };

/** Sends one refresh and judges the answer. */
export async function askUpstream(deps: FreshDeps, held: Held): Promise<Outcome> {
  const provider = await deps.providers.get(held.row.organization_id, held.row.provider_id);
  const auth = oauthOf(provider);
  const request = await requestOf(deps, held, auth);
  if (request === undefined) return { kind: 'invalid_grant' };
  const at = deps.clock.now();
  try {
    const judged = judgeRefresh(auth, await sendTokenRequest(deps.net, request, upstreamDeadline), at);
    if (judged.kind === 'transient')
      deps.log.info('a refresh was put off by the provider', { connection: held.row.id, reason: judged.reason });
    return judged.kind === 'ok' ? { ...judged, at } : judged;
  } catch (error) {
    if (!isFault(error)) throw error;
    deps.log.warn('a refresh got no answer', { connection: held.row.id, code: error.code });
    const rotates = held.credential.renewal === 'refresh_token';
    return rotates && mayHaveArrived(error) ? { kind: 'unknown' } : { kind: 'transient' };
  }
}

/** Undefined when the client the owner agreed to is not there any more. */
async function requestOf(deps: FreshDeps, held: Held, auth: OauthAuth): Promise<TokenRequest | undefined> {
  const { endpoints, client: agreed } = pinnedOf(held.row);
  const client = await clientOf(deps, held, auth);
  if (client === undefined || client.id !== agreed || endpoints.token === undefined) return undefined;
  if (held.credential.renewal === 'client_credentials') {
    return buildTokenRequest(auth, endpoints.token, client, grantParameters(auth, JSON.parse(held.row.scopes_json) as string[]));
  }
  const refreshToken = held.credential.refresh_token;
  return refreshToken === undefined
    ? undefined
    : buildRefresh(auth, endpoints.refresh ?? endpoints.token, client, new Secret(refreshToken));
}

/** The connection's own client, or the organization's at this provider. */
export async function clientOf(deps: FreshDeps, { row, credential }: Held, auth: OauthAuth): Promise<ClientIdentity | undefined> {
  const own = credential.client;
  if (own !== undefined) {
    const authentication = auth.client_authentication === 'none' ? 'client_secret_post' : auth.client_authentication;
    return { id: own.id, secret: own.secret === undefined ? undefined : new Secret(own.secret), authentication };
  }
  const known = await knownClient(deps, row.organization_id, row.provider_id);
  return known === undefined ? undefined : identityOf(known, auth);
}

/** Errors that come before the first byte of the request: the connection was never made. */
const beforeSending = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'ENETDOWN']);

function mayHaveArrived(error: Fault): boolean {
  if (error.code === 'address_refused' || error.code.startsWith('upstream_certificate')) return false;
  if (error.code !== 'upstream_unreachable') return true;
  for (let cause: unknown = error.details.cause; cause instanceof Error; cause = cause.cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code !== undefined && beforeSending.has(code)) return false;
  }
  return true;
}
