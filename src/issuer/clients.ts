import { type ClientId, type ClientSecretId, Fault, newId, type OrganizationId, type Principal, parseId } from '#kernel';
import { parent } from '#oauth';
import { cacheByGeneration, isUniqueViolation, pageLimit, pageOf, type Reading, rowOfCursor, sha256, type Writing } from '#store';
import { clientDefaults, hashFlaw, judgeClient } from './client-metadata.ts';
import {
  type ClientRow,
  clientsPage,
  endClient,
  endSecret,
  insertClient,
  insertSecret,
  livingClient,
  type SecretRow,
  secretsOf,
} from './clients.sql.ts';
import type { Client, ClientDraft, ClientMetadata, Clients } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { insertEnding } from './endings.sql.ts';
import { longestUntil } from './lives.ts';
import { ownScopes } from './scopes.ts';

/** Registered clients: rows, and a cache that forgets at every change of the topic `issuing`. */
export function createClients(deps: IssuerGround): Clients & { close(): void } {
  const { records, changes, clock } = deps;
  const known = cacheByGeneration<Client>(changes, 'issuing', 10_000);

  return Object.freeze({
    judge: judgeClient,
    add: (tx: Writing, by: Principal, draft: ClientDraft) => add(deps, tx, by, draft),
    async find(organization: OrganizationId, given: string) {
      const id = parseId('clt', given);
      if (id === undefined) return undefined;
      return known.get(`${organization} ${id}`, () => records.in(organization).read((tx) => load(tx, organization, id)));
    },
    async list(organization: OrganizationId, query: { readonly cursor?: string; readonly limit: number }) {
      const limit = pageLimit(query.limit);
      const before = query.cursor === undefined ? undefined : rowOfCursor(query.cursor);
      const { rows, secrets } = await records.in(organization).read(async (tx) => {
        const rows = await clientsPage(tx, organization, { before, limit });
        const ids = rows.map(({ id }) => id);
        return { rows, secrets: await secretsOf(tx, organization, ids) };
      });
      return pageOf(rows, limit, (row) => clientOf(row, secrets));
    },
    remove: (by: Principal, id: string) => remove(deps, by, wanted(id)),
    async addSecret(tx: Writing, by: Principal, id: string, secret: { readonly hash: string; readonly expiresAt: number | undefined }) {
      const client = await load(tx, by.organization, wanted(id));
      if (client === undefined) throw new Fault('client_unknown');
      judgeSecret(client, secret, clock.now());
      return addSecret(deps, tx, by, client.id, secret);
    },
    endSecret: (by: Principal, id: string, secret: string) => withdraw(deps, by, wanted(id), secret),
    close: () => known.close(),
  });
}

/** The id of its row: the client's own, or what stands for its URL in this organization. */
export function rowOf(organization: OrganizationId, id: ClientId): string {
  return id.startsWith('https://') ? `doc_${sha256(`${organization} ${id}`)}` : id;
}

function wanted(id: string): ClientId {
  const parsed = parseId('clt', id);
  if (parsed === undefined) throw new Fault('client_unknown');
  return parsed;
}

async function load(tx: Reading, organization: OrganizationId, id: ClientId): Promise<Client | undefined> {
  const row = await livingClient(tx, organization, id);
  return row === undefined ? undefined : clientOf(row, await secretsOf(tx, organization, [id]));
}

async function add(deps: IssuerGround, tx: Writing, by: Principal, draft: ClientDraft): Promise<ClientId> {
  judgeClient(draft);
  const { name, authentication, secretHash, ...metadata } = draft;
  const now = deps.clock.now();
  const id = newId('clt', now);
  await insertClient(tx, {
    id,
    organization_id: by.organization,
    created_at: now,
    name,
    source: 'static',
    authentication,
    metadata_json: JSON.stringify(metadata satisfies ClientMetadata),
  });
  await deps.audit.record(tx, { name: 'client.added', principal: by, fields: { client: id, name, authentication } });
  if (secretHash !== undefined) await addSecret(deps, tx, by, id, { hash: secretHash, expiresAt: undefined });
  await tx.bump('issuing');
  return id;
}

/** At once, for good: no token of it is good any more, because its parent is gone. */
async function remove(deps: IssuerGround, by: Principal, id: ClientId): Promise<void> {
  const { organization } = by;
  const now = deps.clock.now();
  await deps.records.in(organization).write(async (tx) => {
    if (!(await endClient(tx, organization, id, now))) throw new Fault('client_unknown');
    await insertEnding(tx, { organization, subject: parent.client(id), expiresAt: longestUntil(now) }, now);
    await deps.audit.record(tx, { name: 'client.removed', principal: by, fields: { client: id } });
    await tx.bump('issuing');
  });
}

function judgeSecret(
  client: Client,
  { hash, expiresAt }: { readonly hash: string; readonly expiresAt: number | undefined },
  now: number,
): void {
  const takes = client.authentication === 'client_secret_basic' || client.authentication === 'client_secret_post';
  const flaw = takes ? hashFlaw(hash) : 'this client has no secret';
  if (flaw !== undefined) throw new Fault('client_invalid', { fields: { '/secret_sha256': flaw } });
  if (expiresAt !== undefined && expiresAt <= now) throw new Fault('client_invalid', { fields: { '/expires_at': 'name a time to come' } });
}

async function addSecret(
  deps: IssuerGround,
  tx: Writing,
  by: Principal,
  client: ClientId,
  { hash, expiresAt }: { readonly hash: string; readonly expiresAt: number | undefined },
): Promise<ClientSecretId> {
  const now = deps.clock.now();
  const id = newId('sct', now);
  await insertSecret(tx, {
    id,
    organization_id: by.organization,
    created_at: now,
    client_id: client,
    secret_hash: hash,
    expires_at: expiresAt ?? null,
  }).catch(refuseTaken);
  const fields = { client, secret: id, expires_at: expiresAt ?? null };
  await deps.audit.record(tx, { name: 'client.secret_added', principal: by, fields });
  await tx.bump('issuing');
  return id;
}

/** A secret belongs to one client: a request that was sent twice, or a value that is not random. */
function refuseTaken(cause: unknown): never {
  if (!isUniqueViolation(cause, 'client_secrets.secret_hash')) throw cause;
  throw new Fault('client_invalid', { cause, fields: { '/secret_sha256': 'it is in use: make a new secret' } });
}

async function withdraw(deps: IssuerGround, by: Principal, client: ClientId, given: string): Promise<void> {
  const id = parseId('sct', given);
  if (id === undefined) throw new Fault('not_found');
  await deps.records.in(by.organization).write(async (tx) => {
    const place = { organization: by.organization, id: client };
    if (!(await endSecret(tx, place, id, deps.clock.now()))) throw new Fault('not_found');
    await deps.audit.record(tx, { name: 'client.secret_ended', principal: by, fields: { client, secret: id } });
    await tx.bump('issuing');
  });
}

export function clientOf(row: ClientRow, secrets: readonly SecretRow[]): Client {
  const metadata = JSON.parse(row.metadata_json) as ClientMetadata;
  return Object.freeze({
    ...clientDefaults,
    ...metadata,
    ...scopesOf(row.source, metadata),
    id: row.id as ClientId,
    organization: row.organization_id,
    source: row.source,
    name: row.name,
    authentication: row.authentication as Client['authentication'],
    createdAt: row.created_at,
    secrets: secrets
      .filter((secret) => secret.client_id === row.id)
      .map((secret) => ({
        id: secret.id,
        hash: secret.secret_hash,
        createdAt: secret.created_at,
        expiresAt: secret.expires_at ?? undefined,
      })),
  });
}

/**
 * A client that describes itself may ask for scopes that are everybody's, those that it names or any; for those of an open resource it
 * asks together with that, as every client may. Where it named none it is given none unasked.
 */
function scopesOf(source: Client['source'], { scopes }: ClientMetadata): Pick<Client, 'scopes' | 'assumedScopes'> {
  if (source === 'static') return { scopes, assumedScopes: scopes };
  const everybodys = Object.keys(ownScopes);
  return { scopes: scopes.length === 0 ? everybodys : scopes.filter((scope) => everybodys.includes(scope)), assumedScopes: scopes };
}
