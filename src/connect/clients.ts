import { z } from 'zod';
import { Fault, type OrganizationId, type Principal, Secret } from '#kernel';
import { isUniqueViolation } from '#store';
import { type ClientRow, clientOf, insertClient, updateClient } from './clients.sql.ts';
import type { ConnectDeps } from './deps.ts';
import type { ClientIdentity } from './exchange.ts';
import { clientLabel } from './labels.ts';
import type { OauthAuth } from './provider.ts';

type Deps = Pick<ConnectDeps, 'records' | 'vault' | 'clock'>;

/** What is sealed with a client. */
const detailsSchema = z.object({
  secret: z.string().optional(),
  /** How it authenticates, where the registration said so. */
  authentication: z.enum(['none', 'client_secret_basic', 'client_secret_post']).optional(),
  /** Where it was registered and for which callback: it is good for nothing else. */
  registered_at: z.string().optional(),
  redirect_uri: z.string().optional(),
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

/** Stores the client, in place of an earlier one. @throws {Fault} `conflict` */
export async function storeClient(
  deps: Deps,
  at: { readonly organization: OrganizationId; readonly provider: string },
  client: KnownClient,
): Promise<void> {
  const keys = { organization_id: at.organization, provider_id: at.provider };
  const bare = Object.values(client.details).every((detail) => detail === undefined);
  const envelope = bare ? null : await deps.vault.enclose(clientLabel(keys), new Secret(JSON.stringify(client.details)));
  const row = { ...keys, client_id: client.id, secret_envelope: envelope, source: client.source, created_at: deps.clock.now() };
  try {
    await deps.records.in(at.organization).write(async (tx) => {
      const before = await clientOf(tx, at.organization, at.provider);
      if (before === undefined) return await insertClient(tx, row);
      if (!(await updateClient(tx, row, before.version))) throw new Fault('conflict');
    });
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

/** Stores what a person registered at the provider. @throws {Fault} `invalid_request` */
export async function registerClient(
  deps: Deps,
  by: Principal,
  provider: string,
  client: { readonly id: string; readonly secret: Secret<string> | undefined },
): Promise<void> {
  const secret = client.secret?.reveal().trim();
  if (!/^[\x21-\x7e]{1,512}$/.test(client.id))
    throw new Fault('invalid_request', { fields: { '/client_id': 'use printable characters without spaces' } });
  if (secret === '') throw new Fault('invalid_request', { fields: { '/client_secret': 'leave it out, or give it' } });
  await storeClient(
    deps,
    { organization: by.organization, provider },
    { id: client.id, source: 'registered', details: secret === undefined ? {} : { secret } },
  );
}
