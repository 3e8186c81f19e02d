import * as oauth from 'oauth4webapi';
import { Fault, isFault, type OrganizationId, type Principal } from '#kernel';
import { webFetch } from '#net';
import { isForEndpoints, type KnownClient, knownClient, storeClient } from './clients.ts';
import { type ConnectDeps, callbackUrl } from './deps.ts';
import type { Endpoints } from './endpoints.ts';
import type { OauthAuth, Provider } from './provider.ts';

/** The client a flow uses: the organization's own. @throws {Fault} `invalid_request` saying how to give one */
export async function ownClient(deps: ConnectDeps, organization: OrganizationId, provider: Provider): Promise<KnownClient> {
  const client = await knownClient(deps, organization, provider.id);
  if (client !== undefined && isForEndpoints(client, provider) && (client.source !== 'dynamic' || isOurs(deps, client))) return client;
  throw new Fault('invalid_request', {
    detail: 'This provider needs an OAuth client of your own',
    hint: `register one there with the callback ${callbackUrl(deps)}, then store it: gatehouse provider client ${provider.id} --client-id <id> --secret-stdin < secret.txt`,
  });
}

/**
 * The client of a provider that registers clients by itself (RFC 7591): the one registered before for this endpoint and
 * callback, or a new one. @throws {Fault} `upstream_sign_in_failed`
 */
export async function registeredClient(
  deps: ConnectDeps,
  by: Principal,
  provider: Provider,
  auth: OauthAuth,
  endpoints: Endpoints,
): Promise<KnownClient> {
  const known = await knownClient(deps, by.organization, provider.id);
  if (known !== undefined && known.source !== 'dynamic' && isForEndpoints(known, provider)) return known;
  if (known !== undefined && isOurs(deps, known) && known.details.registered_at === endpoints.registration) return known;
  const made = await register(deps, auth, endpoints);
  try {
    await storeClient(deps, by, provider.id, made);
    return made;
  } catch (error) {
    const other = isFault(error, 'conflict') ? await knownClient(deps, by.organization, provider.id) : undefined;
    if (other === undefined) throw error;
    return other;
  }
}

function isOurs(deps: ConnectDeps, client: KnownClient): boolean {
  return client.details.redirect_uri === callbackUrl(deps);
}

async function register(deps: ConnectDeps, auth: OauthAuth, endpoints: Endpoints): Promise<KnownClient> {
  const server = {
    issuer: endpoints.issuer ?? new URL(endpoints.registration ?? '').origin,
    registration_endpoint: endpoints.registration,
  } as oauth.AuthorizationServer;
  const metadata = {
    client_name: 'Gatehouse',
    redirect_uris: [callbackUrl(deps)],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: auth.client_authentication === 'client_secret_basic' ? 'client_secret_basic' : 'none',
    ...(auth.scopes.length === 0 ? {} : { scope: auth.scopes.join(' ') }),
  };
  const options = { [oauth.customFetch]: webFetch(deps.net, 20_000), [oauth.allowInsecureRequests]: true };
  try {
    const answer = await oauth.processDynamicClientRegistrationResponse(
      await oauth.dynamicClientRegistrationRequest(server, metadata, options),
    );
    return clientFrom(deps, answer, endpoints);
  } catch (error) {
    if (isFault(error)) throw error;
    throw new Fault('upstream_sign_in_failed', { detail: 'The provider did not register a client', cause: error });
  }
}

/** What the registration says, wins over what was asked for (RFC 7591 §3.2.1). */
function clientFrom(deps: ConnectDeps, answer: oauth.OmitSymbolProperties<oauth.Client>, endpoints: Endpoints): KnownClient {
  const secret = typeof answer.client_secret === 'string' && answer.client_secret !== '' ? answer.client_secret : undefined;
  const method = answer.token_endpoint_auth_method;
  const authentication =
    method === 'client_secret_post' || method === 'none' || method === 'client_secret_basic' ? method : 'client_secret_basic';
  return {
    id: answer.client_id,
    source: 'dynamic',
    details: {
      ...(secret === undefined ? {} : { secret }),
      authentication: secret === undefined ? 'none' : authentication,
      ...(endpoints.registration === undefined ? {} : { registered_at: endpoints.registration }),
      redirect_uri: callbackUrl(deps),
    },
  };
}
