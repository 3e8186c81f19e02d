import { type ClientId, type ClientSecretId, Fault, newId, type OrganizationId, type Principal, parseId } from '#kernel';
import { parent } from '#oauth';
import { cacheByGeneration, isUniqueViolation, pageLimit, pageOf, type Reading, rowOfCursor, type Writing } from '#store';
import { currentClient } from './client-documents.ts';
import { endGrantsOf } from './client-ending.ts';
import { hashFlaw, judgeClient } from './client-metadata.ts';
import { clientOf, rowOf } from './client-rows.ts';
import { clientsPage, endClient, endSecret, insertClient, insertSecret, livingClient, secretsOf } from './clients.sql.ts';
import type { Client, ClientDraft, ClientMetadata, Clients } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { documentUrl } from './document-url.ts';
import { insertEnding } from './endings.sql.ts';
import { longestUntil } from './lives.ts';

/** Registered clients: rows, and a cache that forgets at every change of the topic `issuing`. */
export function createClients(deps: IssuerGround): Clients & { close(): void } {
  const { records, changes, clock } = deps;
  const known = cacheByGeneration<Client>(changes, 'issuing', 10_000);

  async function find(organization: OrganizationId, given: string): Promise<Client | undefined> {
    const id = clientId(given);
    if (id === undefined) return undefined;
    return known.get(`${organization} ${id}`, () => records.in(organization).read((tx) => load(tx, organization, id)));
  }

  return Object.freeze({
    judge: judgeClient,
    add: (tx: Writing, by: Principal, draft: ClientDraft) => add(deps, tx, by, draft),
    find,
    async current(organization: OrganizationId, given: string) {
      const url = deps.registration === 'off' ? undefined : documentUrl(given);
      return url === undefined ? find(organization, given) : currentClient(deps, organization, url);
    },
    async list(organization: OrganizationId, query: { readonly text?: string; readonly cursor?: string; readonly limit: number }) {
      const limit = pageLimit(query.limit);
      const before = query.cursor === undefined ? undefined : rowOfCursor(query.cursor);
      const { rows, secrets } = await records.in(organization).read(async (tx) => {
        const rows = await clientsPage(tx, organization, { text: query.text, before, limit });
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

function clientId(text: string): ClientId | undefined {
  return parseId('clt', text) ?? documentUrl(text);
}

function wanted(id: string): ClientId {
  const parsed = clientId(id);
  if (parsed === undefined) throw new Fault('client_unknown');
  return parsed;
}

async function load(tx: Reading, organization: OrganizationId, id: ClientId): Promise<Client | undefined> {
  const row = await livingClient(tx, organization, rowOf(organization, id));
  return row === undefined ? undefined : clientOf(row, await secretsOf(tx, organization, [row.id]));
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
  const isDocument = documentUrl(id) !== undefined;
  await deps.records.in(organization).write(async (tx) => {
    if (!(await endClient(tx, organization, rowOf(organization, id), now))) throw new Fault('client_unknown');
    if (!isDocument) await insertEnding(tx, { organization, subject: parent.client(id), expiresAt: longestUntil(now) }, now);
    await deps.audit.record(tx, { name: 'client.removed', principal: by, fields: { client: id } });
    await tx.bump('issuing');
  });
  // Its id is no one organization's, so here it is its grants that end for verifiers elsewhere.
  if (isDocument) await endGrantsOf(deps, by, id);
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
