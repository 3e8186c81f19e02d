import { Fault, type Secret } from '#kernel';
import { bearerValue, parent } from '#oauth';
import { type Reading, sha256, type Writing } from '#store';
import { clientOf } from './client-rows.ts';
import { type ClientRow, changeClient, endClient, endSecretsOf, livingClient, secretsOf } from './clients.sql.ts';
import type { Client, Issuing, RegistrationRequest } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { insertEnding } from './endings.sql.ts';
import { system } from './keys.ts';
import { longestUntil } from './lives.ts';
import { countRegistration, hasSecret, insertOwnSecret, metadataJson, registrationAnswer, withinReach } from './registration.ts';
import { registrationBy } from './registrations.sql.ts';
import { readDescription, registering, type SelfDescription } from './self-description.ts';

interface Owned {
  readonly row: ClientRow;
  readonly client: Client;
  /** What it showed. */
  readonly access: Secret<string>;
}

/** RFC 7592 §2.1. A secret is not told again: only its hash is here. */
export async function readRegistration(deps: IssuerDeps, at: Issuing, id: string, request: RegistrationRequest) {
  const { client, access } = await deps.records.in(at.organization.id).read((tx) => owned(tx, at, id, request));
  return registrationAnswer(at, { ...client, scopes: client.assumedScopes }, { secret: undefined, access });
}

/** The whole registration is replaced: what is not named again is gone (RFC 7592 §2.2). */
export async function replaceRegistration(deps: IssuerDeps, at: Issuing, id: string, request: RegistrationRequest) {
  const now = deps.clock.now();
  const fresh = bearerValue();
  const { client: known } = await deps.records.in(at.organization.id).read((tx) => owned(tx, at, id, request));
  // Each change is an event, and every server forgets what it knew of clients.
  await countRegistration(deps, at.organization.id, ['client', known.id]);
  const description = await withinReach(deps, at, readDescription(replacement(request.body, known), registering));
  const { client, access, secret } = await deps.records.in(at.organization.id).write(async (tx) => {
    const before = await owned(tx, at, id, request);
    const secret = await changeSecrets(tx, before.client, description, { fresh, now });
    const { name, authentication, redirectUris } = description;
    const changed = { name, authentication, metadata_json: metadataJson(description) };
    if (!(await changeClient(tx, before.row, changed))) throw new Fault('conflict');
    const fields = { client: before.client.id, name, authentication, redirect_uris: redirectUris };
    await deps.audit.record(tx, { name: 'client.changed', principal: system(at.organization.id), fields });
    await tx.bump('issuing');
    const { id: client, createdAt } = before.client;
    return { client: { ...description, id: client, createdAt }, access: before.access, secret };
  });
  return registrationAnswer(at, client, { secret, access });
}

/** RFC 7592 §2.3: the client and every token of it, at once. */
export async function endRegistration(deps: IssuerDeps, at: Issuing, id: string, request: RegistrationRequest): Promise<void> {
  const { id: organization } = at.organization;
  const now = deps.clock.now();
  await deps.records.in(organization).write(async (tx) => {
    const { row, client } = await owned(tx, at, id, request);
    if (!(await endClient(tx, organization, row.id, now))) throw new Fault('registration_token_invalid');
    await insertEnding(tx, { organization, subject: parent.client(client.id), expiresAt: longestUntil(now) }, now);
    await deps.audit.record(tx, { name: 'client.removed', principal: system(organization), fields: { client: client.id } });
    await tx.bump('issuing');
  });
}

/** The client that this token is of, and no other. @throws {Fault} `registration_token_invalid`, also when it has ended (RFC 7592 §2.1) */
async function owned(tx: Reading, at: Issuing, id: string, { bearer }: RegistrationRequest): Promise<Owned> {
  const { id: organization } = at.organization;
  const registration = bearer === undefined ? undefined : await registrationBy(tx, organization, sha256(bearer.reveal()));
  const row = registration?.client_id === id ? await livingClient(tx, organization, id) : undefined;
  if (bearer === undefined || row === undefined) throw new Fault('registration_token_invalid');
  return { row, client: clientOf(row, await secretsOf(tx, organization, [row.id])), access: bearer };
}

/** What only the server says: a client that sends it back would be asking to set it (RFC 7592 §2.2). */
const ours = ['registration_access_token', 'registration_client_uri', 'client_secret_expires_at', 'client_id_issued_at'];

/** @throws {Fault} `client_invalid` unless it is about this client, with the secret that it has */
function replacement(body: unknown, client: Client): unknown {
  const given = (typeof body === 'object' && body !== null ? body : {}) as Readonly<Record<string, unknown>>;
  const named = ours.find((name) => given[name] !== undefined);
  if (named !== undefined) throw new Fault('client_invalid', { detail: `The member ${named} is not a client's to set` });
  if (given.client_id !== client.id) throw new Fault('client_invalid', { detail: 'The member client_id is not this client' });
  const { client_secret: secret } = given;
  const known = secret === undefined || (typeof secret === 'string' && client.secrets.some(({ hash }) => hash === sha256(secret)));
  if (!known) throw new Fault('client_invalid', { detail: 'The member client_secret is not the secret of this client' });
  return body;
}

/** A client that comes to need a secret gets one; one that no longer does has none. */
async function changeSecrets(
  tx: Writing,
  before: Client,
  after: SelfDescription,
  { fresh, now }: { readonly fresh: Secret<string>; readonly now: number },
): Promise<Secret<string> | undefined> {
  const { id, organization, secrets } = before;
  if (!hasSecret(after)) await endSecretsOf(tx, organization, id, now);
  if (!hasSecret(after) || secrets.length > 0) return undefined;
  await insertOwnSecret(tx, organization, { client: id, secret: fresh, now });
  return fresh;
}
