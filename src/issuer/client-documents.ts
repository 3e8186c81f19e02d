import { type ClientUrl, Fault, isFault, type OrganizationId } from '#kernel';
import { ephemeraKey, isUniqueViolation, sha256, type Writing } from '#store';
import { clientOf, rowOf } from './client-rows.ts';
import { changeClient, clientRow, insertClient } from './clients.sql.ts';
import type { Client, ClientMetadata } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { fetchJson } from './fetched.ts';
import { system } from './keys.ts';
import { lives } from './lives.ts';
import { insertRegistration } from './registrations.sql.ts';
import { describedAs, type Manner, readDescription } from './self-description.ts';

/** About 5 KB, as publishers are told (CIMD §6.6); how long a copy is kept, whatever its headers say. */
const bounds = Object.freeze({ bytes: 5 * 1024, least: 60_000, usual: 60 * 60_000, most: 24 * 60 * 60_000 });

/** There is nobody to share a secret with (CIMD §4.1). */
const documented: Manner = {
  authentications: ['none', 'private_key_jwt'],
  assumed: ({ jwks, jwks_uri: uri }) => ((jwks ?? uri ?? undefined) === undefined ? 'none' : 'private_key_jwt'),
  tolerant: true,
};

/**
 * The client as its document describes it now: from this organization's copy as long as that may be kept, else fetched. Undefined
 * where an administrator removed it. @throws {Fault} `client_document_unusable`, `rate_limited`
 */
export async function currentClient(deps: IssuerGround, organization: OrganizationId, url: ClientUrl): Promise<Client | undefined> {
  const row = await deps.records.in(organization).read((tx) => clientRow(tx, organization, rowOf(organization, url)));
  if (row !== undefined && row.ended_at !== null) return undefined;
  const kept = await deps.ephemera.get(placeOf(organization, url));
  return kept === undefined ? fetched(deps, organization, url, row === undefined) : (JSON.parse(kept) as Client);
}

function placeOf(organization: OrganizationId, url: ClientUrl): string {
  return ephemeraKey('client_document', organization, sha256(url));
}

/** An error is never kept (CIMD §4.4). */
async function fetched(deps: IssuerGround, organization: OrganizationId, url: ClientUrl, stranger: boolean): Promise<Client> {
  try {
    const { value, freshFor = bounds.usual } = await fetchJson(deps, organization, url, { limit: bounds.bytes, stranger });
    const client = describedBy(value, organization, url, deps.clock.now());
    const life = Math.min(Math.max(freshFor, bounds.least), bounds.most);
    await deps.ephemera.put(placeOf(organization, url), JSON.stringify(client), life);
    return client;
  } catch (error) {
    if (!isFault(error) || error.code === 'rate_limited' || error.code === 'unavailable') throw error;
    deps.log.info('the document of a client cannot be used', { client: url, code: error.code });
    throw new Fault('client_document_unusable', { detail: `The document of the client cannot be used: ${error.message}` });
  }
}

/** @throws {Fault} `client_document_unusable`, `client_invalid`, `redirect_invalid` */
function describedBy(document: unknown, organization: OrganizationId, url: ClientUrl, now: number): Client {
  const given = (typeof document === 'object' && document !== null ? document : {}) as Readonly<Record<string, unknown>>;
  if (given.client_id !== url) throw new Fault('client_document_unusable', { detail: 'Its client_id is not its URL' });
  if (given.client_secret !== undefined || given.client_secret_expires_at !== undefined)
    throw new Fault('client_document_unusable', { detail: 'It holds a secret' });
  const { name, authentication, ...metadata } = readDescription(document, documented);
  const row = {
    row: 0,
    id: rowOf(organization, url),
    organization_id: organization,
    created_at: now,
    name: given.client_name === undefined ? new URL(url).hostname : name,
    source: 'document' as const,
    authentication,
    metadata_json: JSON.stringify({ ...metadata, url } satisfies ClientMetadata),
    ended_at: null,
    version: 0,
  };
  return clientOf(row, []);
}

/** What of the document a person was shown, or what could be done in their name by it. */
export function documentDigest(client: Client): string {
  return sha256(JSON.stringify(describedAs({ ...client, scopes: client.assumedScopes })));
}

/**
 * Keeps what a person agreed to, so that tokens have a client whatever becomes of the document. @throws {Fault} `client_unknown` where
 * an administrator removed it meanwhile
 */
export async function settleDocument(deps: IssuerGround, client: Client): Promise<void> {
  if (client.source !== 'document') return;
  const scope = deps.records.in(client.organization);
  const taken = await scope
    .write((tx) => settle(deps, tx, client))
    .then(
      () => false,
      (error: unknown) => {
        if (isUniqueViolation(error)) return true;
        throw error;
      },
    );
  // Somebody else agreed to it at the same time.
  if (taken) await scope.write((tx) => settle(deps, tx, client));
}

async function settle(deps: IssuerGround, tx: Writing, client: Client): Promise<void> {
  const { id, organization, name, authentication, redirectUris } = client;
  const now = deps.clock.now();
  const row = { id: rowOf(organization, id), organization_id: organization, created_at: now };
  const before = await clientRow(tx, organization, row.id);
  if (before !== undefined && before.ended_at !== null) throw new Fault('client_unknown');
  if (before !== undefined && documentDigest(clientOf(before, [])) === documentDigest(client)) return;
  const described = { name, authentication, metadata_json: metadataJsonOf(client) };
  if (before === undefined) await insertClient(tx, { ...row, source: 'document', ...described });
  else if (!(await changeClient(tx, before, described))) throw new Fault('conflict');
  if (before === undefined) await keepFrom(tx, client, now);
  const fields = { client: id, name, authentication, redirect_uris: redirectUris };
  await deps.audit.record(tx, { name: 'client.described', principal: system(organization), fields });
  await tx.bump('issuing');
}

function keepFrom(tx: Writing, { id, organization }: Client, now: number): Promise<void> {
  const place = { organization_id: organization, client_id: rowOf(organization, id), created_at: now };
  return insertRegistration(tx, { ...place, token_hash: null, registration_token_id: null, expires_at: now + lives.usedRegistration });
}

function metadataJsonOf(client: Client): string {
  const { id, organization, name, authentication, source, assumedScopes, createdAt, secrets, ...metadata } = client;
  return JSON.stringify({ ...metadata, scopes: assumedScopes, url: id });
}
