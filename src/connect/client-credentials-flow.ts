import { Fault, type Principal, Secret } from '#kernel';
import type { Fields } from './api-key-flow.ts';
import type { Connection } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import type { ClientIdentity } from './exchange.ts';
import type { FlowRecord } from './flow-record.ts';
import { makeConnection } from './making.ts';
import type { OauthAuth, Provider } from './provider.ts';
import { exchange, tokensOf } from './token-endpoint.ts';

/** What a person types when the organization has no client at the provider. */
export const clientFields = [
  { name: 'client_id', label: 'Client ID', secret: false },
  { name: 'client_secret', label: 'Client secret', secret: true },
] as const;

/** The client a person typed. @throws {Fault} `invalid_request` */
export function typedClient(auth: OauthAuth, given: Fields, found: Readonly<Record<string, string>> = {}): ClientIdentity {
  const fields: Record<string, string> = { ...found };
  for (const { name } of clientFields) {
    const value = given[name]?.reveal().trim() ?? '';
    if (!/^[\x21-\x7e]{1,4096}$/.test(value)) fields[`/fields/${name}`] = 'this is needed, in printable characters';
  }
  if (Object.keys(fields).length > 0) throw new Fault('invalid_request', { fields });
  const authentication = auth.client_authentication === 'none' ? 'client_secret_post' : auth.client_authentication;
  return { id: given.client_id?.reveal().trim() ?? '', secret: new Secret(given.client_secret?.reveal().trim() ?? ''), authentication };
}

export function grantParameters(auth: Pick<OauthAuth, 'scope_separator'>, scopes: readonly string[]): Record<string, string> {
  return { grant_type: 'client_credentials', ...(scopes.length === 0 ? {} : { scope: scopes.join(auth.scope_separator) }) };
}

interface AsClient {
  readonly provider: Provider;
  readonly auth: OauthAuth;
  readonly client: ClientIdentity;
  /** It is this connection's alone. */
  readonly own: boolean;
  readonly hosts: readonly string[];
  readonly byOwner: boolean;
}

/** Asks for a token as the client itself (RFC 6749 §4.4) and ends the flow with it. @throws {Fault} `upstream_sign_in_failed` */
export async function completeAsClient(deps: ConnectDeps, by: Principal, flow: FlowRecord, given: AsClient): Promise<Connection> {
  const { provider, auth, client, own, hosts, byOwner } = given;
  const now = deps.clock.now();
  const parameters = grantParameters(auth, flow.doc.scopes);
  const tokens = tokensOf(await exchange(deps.net, { auth, endpoint: flow.doc.endpoints.token, client, parameters, now }));
  const secret = client.secret?.reveal();
  return makeConnection(deps, by, flow, provider, {
    kind: 'oauth2',
    credential: {
      parts: { access_token: tokens.accessToken.reveal() },
      renewal: 'client_credentials',
      ...(own ? { client: { id: client.id, ...(secret === undefined ? {} : { secret }) } } : {}),
      obtained_at: now,
    },
    account: { id: client.id },
    scopes: tokens.scopes ?? flow.doc.scopes,
    expiresAt: tokens.expiresAt,
    client: client.id,
    hosts,
    byOwner,
  });
}
