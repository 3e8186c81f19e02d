import { type ConnectionId, Fault, isFault, type Principal } from '#kernel';
import { pinnedOf, placeOf, type StoredCredential, statusJson } from './connection.ts';
import type { ConnectionRow } from './connections.sql.ts';
import { basicAuthorization, type ClientIdentity } from './exchange.ts';
import { managed } from './govern.ts';
import type { FreshDeps } from './held.ts';
import { openCredential } from './keeping.ts';
import { oauthOf } from './oauth-credential.ts';
import { changeConnection } from './standing.ts';
import { clientOf } from './upstream-refresh.ts';

export type Revoked = 'yes' | 'no' | 'not_offered';

/**
 * Ends a connection: first here, at once and for every process, then its sealed value, then at the provider where that is
 * offered (RFC 7009). @throws {Fault} `connection_unknown`, `forbidden`
 */
export async function disconnect(deps: FreshDeps, by: Principal, id: ConnectionId): Promise<{ readonly revokedUpstream: Revoked }> {
  const row = await managed(deps, by, id);
  const credential = await readable(deps, row);
  const offered = isOffered(row, credential);
  const fields = { provider: row.provider_id, name: row.name };
  const ended = await changeConnection(deps, {
    row,
    still: (current) => current.live === 1,
    change: () => ({
      status_json: statusJson({ kind: 'disconnected', since: deps.clock.now() }),
      live: null,
      is_default: 0,
      shared: 0,
      pending_envelope: null,
      refresh_started_at: null,
    }),
    event: {
      name: 'connection.disconnected',
      principal: by,
      connection: id,
      fields: { ...fields, revoked_upstream: offered ? 'asked' : 'not_offered' },
    },
    tell: true,
  });
  if (ended === undefined) throw new Fault('connection_unknown');
  await destroySealed(deps, row);
  if (credential === undefined || !offered) return { revokedUpstream: 'not_offered' };
  const revokedUpstream = await revoke(deps, row, credential);
  const revoked = { name: 'connection.revoked', principal: by, connection: id, fields: { ...fields, revoked: revokedUpstream } } as const;
  await deps.records.in(by.organization).write((tx) => deps.audit.record(tx, revoked));
  return { revokedUpstream };
}

function isOffered(row: ConnectionRow, credential: StoredCredential | undefined): boolean {
  return row.kind === 'oauth2' && credential !== undefined && pinnedOf(row).endpoints.revocation !== undefined;
}

/** What cannot be opened is ended all the same. */
async function readable(deps: FreshDeps, row: ConnectionRow): Promise<StoredCredential | undefined> {
  try {
    return await openCredential(deps, row);
  } catch (error) {
    if (isFault(error, 'sealed_value_unreadable')) return undefined;
    throw error;
  }
}

/** A settle under way may still put the value back once, so look again. */
async function destroySealed(deps: FreshDeps, row: ConnectionRow): Promise<void> {
  for (let round = 0; round < 3; round++) if (!(await deps.vault.destroy(placeOf(row)))) return;
}

/** The refresh token ends the whole grant at most providers (RFC 7009 §2.1), so it goes first. */
async function revoke(deps: FreshDeps, row: ConnectionRow, credential: StoredCredential): Promise<'yes' | 'no'> {
  const { endpoints } = pinnedOf(row);
  const token = credential.refresh_token ?? credential.parts.access_token;
  if (endpoints.revocation === undefined || token === undefined) return 'no';
  try {
    const auth = oauthOf(await deps.providers.get(row.organization_id, row.provider_id));
    const client = await clientOf(deps, { row, credential }, auth);
    const hint = credential.refresh_token === undefined ? 'access_token' : 'refresh_token';
    return (await post(deps, endpoints.revocation, client, { token, token_type_hint: hint })) ? 'yes' : 'no';
  } catch (error) {
    if (!isFault(error)) throw error;
    deps.log.warn('a credential could not be revoked at its provider', { connection: row.id, code: error.code });
    return 'no';
  }
}

async function post(
  deps: FreshDeps,
  url: string,
  client: ClientIdentity | undefined,
  parameters: Readonly<Record<string, string>>,
): Promise<boolean> {
  const secret = client?.secret?.reveal();
  const byBasic = client?.authentication === 'client_secret_basic' && secret !== undefined;
  const inBody =
    client === undefined || byBasic ? {} : { client_id: client.id, ...(secret === undefined ? {} : { client_secret: secret }) };
  const answer = await deps.net.fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(byBasic ? { authorization: basicAuthorization(client.id, secret) } : {}),
    },
    body: new URLSearchParams({ ...parameters, ...inBody }).toString(),
    timeout: 10_000,
    limit: 65_536,
    allowHttp: true,
  });
  return answer.status >= 200 && answer.status < 300;
}
