import { z } from 'zod';
import { Fault, type OrganizationId, type Principal, Secret } from '#kernel';
import { bearerValue } from '#oauth';
import { bearerKey, isUniqueViolation, type Writing } from '#store';
import { endpointsOf } from './checks.ts';
import { type ClientRow, clientOf, insertClient, updateClient } from './clients.sql.ts';
import type { ConnectDeps } from './deps.ts';
import { digestOf } from './digest.ts';
import type { ClientIdentity } from './exchange.ts';
import { clientLabel, heldClientLabel } from './labels.ts';
import { oauthOf } from './oauth-credential.ts';
import type { OauthAuth, Provider } from './provider.ts';
import { personOf } from './rights.ts';

type Deps = Pick<ConnectDeps, 'records' | 'vault' | 'clock' | 'audit'>;

/** What is sealed with a client. */
const detailsSchema = z.object({
  secret: z.string().optional(),
  /** How it authenticates, where the registration said so. */
  authentication: z.enum(['none', 'client_secret_basic', 'client_secret_post']).optional(),
  /** Where it was registered and for which callback: it is good for nothing else. */
  registered_at: z.string().optional(),
  redirect_uri: z.string().optional(),
  /** Digest of the endpoints that an organization's own definition had then: its secret goes nowhere else (SECURITY 7). */
  endpoints: z.string().optional(),
});
export type ClientDetails = z.infer<typeof detailsSchema>;

export interface KnownClient {
  readonly id: string;
  readonly source: ClientRow['source'];
  readonly details: ClientDetails;
}

/** The organization's client at a provider. */
export async function knownClient(deps: Deps, organization: OrganizationId, provider: string): Promise<KnownClient | undefined> {
  const row = await deps.records.in(organization).read((tx) => clientOf(tx, organization, provider));
  if (row === undefined) return undefined;
  const sealed = row.secret_envelope === null ? undefined : await deps.vault.disclose(clientLabel(row), row.secret_envelope);
  return { id: row.client_id, source: row.source, details: sealed === undefined ? {} : detailsSchema.parse(JSON.parse(sealed.reveal())) };
}

/**
 * Seals the client first; the returned step stores it in the caller's transaction, in place of an earlier one.
 * @throws {Fault} `conflict`
 */
async function prepareClient(deps: Deps, by: Principal, provider: string, client: KnownClient): Promise<(tx: Writing) => Promise<void>> {
  const keys = { organization_id: by.organization, provider_id: provider };
  const bare = Object.values(client.details).every((detail) => detail === undefined);
  const envelope = bare ? null : await deps.vault.enclose(clientLabel(keys), new Secret(JSON.stringify(client.details)));
  const row = { ...keys, client_id: client.id, secret_envelope: envelope, source: client.source, created_at: deps.clock.now() };
  return async (tx) => {
    const before = await clientOf(tx, by.organization, provider);
    if (before === undefined) await insertClient(tx, row);
    else if (!(await updateClient(tx, row, before.version))) throw new Fault('conflict');
    const fields = { provider, client: client.id, source: client.source };
    await deps.audit.record(tx, { name: 'provider.client_stored', principal: by, fields });
  };
}

/** Stores a client that the provider itself registered. @throws {Fault} `conflict` */
export async function storeClient(deps: Deps, by: Principal, provider: string, client: KnownClient): Promise<void> {
  const store = await prepareClient(deps, by, provider, client);
  try {
    await deps.records.in(by.organization).write(store);
  } catch (error) {
    if (isUniqueViolation(error)) throw new Fault('conflict', { cause: error });
    throw error;
  }
}

/** The client as the token endpoint wants to see it. A client without a secret authenticates with none. */
export function identityOf(client: KnownClient, auth: OauthAuth): ClientIdentity {
  const { secret, authentication } = client.details;
  const wanted = authentication ?? (auth.client_authentication === 'none' ? 'client_secret_post' : auth.client_authentication);
  return {
    id: client.id,
    secret: secret === undefined ? undefined : new Secret(secret),
    authentication: secret === undefined ? 'none' : wanted,
  };
}

/** Longer than a confirmation stays open. */
const heldLife = 20 * 60_000;

const heldSchema = z.object({ id: z.string(), details: detailsSchema });

/**
 * Checks the client a person registered at the provider and keeps it, sealed, under the name it returns, until they have
 * said yes to it (SECURITY 4). @throws {Fault} `invalid_request`, `forbidden`
 */
export async function holdClient(
  deps: Pick<ConnectDeps, 'vault' | 'ephemera'>,
  by: Principal,
  provider: Provider,
  client: { readonly id: string; readonly secret: Secret<string> | undefined },
): Promise<string> {
  personOf(by);
  const secret = client.secret?.reveal().trim();
  if (!/^[\x21-\x7e]{1,512}$/.test(client.id))
    throw new Fault('invalid_request', { fields: { '/client_id': 'use printable characters without spaces' } });
  if (secret === '') throw new Fault('invalid_request', { fields: { '/client_secret': 'leave it out, or give it' } });
  const endpoints = endpointsDigest(provider);
  const details = { ...(secret === undefined ? {} : { secret }), ...(endpoints === undefined ? {} : { endpoints }) };
  const held = bearerValue().reveal();
  const label = heldClientLabel(by.organization, provider.id, held);
  const envelope = await deps.vault.enclose(label, new Secret(JSON.stringify({ id: client.id, details })));
  await deps.ephemera.put(bearerKey('held_client', held), Buffer.from(envelope).toString('base64url'), heldLife);
  return held;
}

/** Opens a client that was held; the returned step stores it. @throws {Fault} `confirmation_ended` when it is held no more */
export async function registerClient(
  deps: Deps & Pick<ConnectDeps, 'ephemera'>,
  by: Principal,
  provider: string,
  held: string,
): Promise<(tx: Writing) => Promise<void>> {
  const kept = await deps.ephemera.get(bearerKey('held_client', held));
  if (kept === undefined) throw new Fault('confirmation_ended');
  const opened = await deps.vault.disclose(heldClientLabel(by.organization, provider, held), Buffer.from(kept, 'base64url'));
  return prepareClient(deps, by, provider, { ...heldSchema.parse(JSON.parse(opened.reveal())), source: 'registered' });
}

/** Undefined for a shipped provider, whose endpoints change only with the product. */
function endpointsDigest(provider: Provider): string | undefined {
  return provider.source === 'catalogue' ? undefined : digestOf(endpointsOf(oauthOf(provider)));
}

/** Whether the client was stored for the endpoints the provider has now. */
export function isForEndpoints(client: KnownClient, provider: Provider): boolean {
  return client.source === 'dynamic' || client.details.endpoints === endpointsDigest(provider);
}
