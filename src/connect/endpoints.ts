import * as oauth from 'oauth4webapi';
import { Fault, isFault } from '#kernel';
import { type Net, webFetch } from '#net';
import { endpointIsSafe } from './checks.ts';
import type { OauthAuth, Provider } from './provider.ts';

/** Where an authorization server is talked to, whole: from the definition, and from its issuer where that is silent. */
export interface Endpoints {
  readonly authorization?: string;
  readonly token?: string;
  readonly refresh?: string;
  readonly device?: string;
  readonly revocation?: string;
  readonly registration?: string;
  readonly issuer?: string;
  /** It names itself in every answer (RFC 9207). */
  readonly namesItself: boolean;
}

/**
 * Every endpoint a flow needs; the issuer's metadata is read only for what the definition leaves out.
 * @throws {Fault} `upstream_sign_in_failed`, or what the network said
 */
export async function resolveEndpoints(
  net: Net,
  provider: Provider,
  auth: OauthAuth,
  needs: readonly (keyof Endpoints)[],
): Promise<Endpoints> {
  const named: Endpoints = present({
    authorization: auth.authorization_endpoint,
    token: auth.token_endpoint,
    refresh: auth.refresh_endpoint,
    device: auth.device_authorization_endpoint,
    revocation: auth.revocation_endpoint,
    registration: auth.registration_endpoint,
    issuer: auth.issuer,
    namesItself: false,
  });
  if (needs.every((name) => named[name] !== undefined)) return named;
  const found = auth.issuer === undefined ? undefined : await discover(net, provider, auth.issuer);
  const all: Endpoints = { ...found, ...named, namesItself: found?.namesItself ?? false };
  for (const name of needs) {
    const url = all[name];
    if (typeof url !== 'string')
      throw new Fault('upstream_sign_in_failed', { detail: 'The authorization server does not offer this flow' });
  }
  return all;
}

/** Reads the issuer's metadata (RFC 8414, OpenID Connect Discovery), which must name that very issuer. */
async function discover(net: Net, provider: Provider, issuer: string): Promise<Endpoints> {
  const url = new URL(issuer);
  let last: unknown;
  for (const algorithm of ['oauth2', 'oidc'] as const) {
    try {
      const options = { algorithm, [oauth.customFetch]: webFetch(net, 10_000), [oauth.allowInsecureRequests]: true };
      return safe(provider, await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, options)));
    } catch (error) {
      if (isFault(error)) throw error;
      last = error;
    }
  }
  throw new Fault('upstream_sign_in_failed', { detail: 'The metadata of the authorization server cannot be used', cause: last });
}

/** Metadata is the provider's word: its addresses are held to the same rule as those of a definition. */
function safe(provider: Provider, server: oauth.AuthorizationServer): Endpoints {
  const endpoints = present({
    authorization: server.authorization_endpoint,
    token: server.token_endpoint,
    refresh: undefined,
    device: server.device_authorization_endpoint,
    revocation: server.revocation_endpoint,
    registration: server.registration_endpoint,
    issuer: server.issuer,
    namesItself: server.authorization_response_iss_parameter_supported === true,
  });
  for (const url of Object.values(endpoints)) {
    if (typeof url === 'string' && !endpointIsSafe(url, provider.source === 'organization'))
      throw new Fault('upstream_sign_in_failed', { detail: 'The metadata of the authorization server names an unsafe address' });
  }
  return endpoints;
}

function present(given: { readonly [K in keyof Endpoints]: Endpoints[K] | undefined }): Endpoints {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as unknown as Endpoints;
}

/** The text members, as they are pinned and stored with a flow. */
export function storedEndpoints({ namesItself: _, ...rest }: Endpoints): Record<string, string> {
  return { ...rest };
}
