import { type ClientId, type ClientSecretId, Fault, newId, type OrganizationId, type Secret } from '#kernel';
import { countedAs } from '#net';
import { bearerValue } from '#oauth';
import { ephemeraKey, sha256, type Writing } from '#store';
import { insertClient, insertSecret } from './clients.sql.ts';
import type { ClientMetadata, Issuing, RegistrationRequest, RegistrationToken } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { endpointPaths } from './endpoints.ts';
import { system } from './keys.ts';
import { lives } from './lives.ts';
import { useRegistrationToken } from './registration-tokens.sql.ts';
import { presentedToken } from './registration-tokens.ts';
import { countRegistrations, insertRegistration } from './registrations.sql.ts';
import { ownScopes } from './scopes.ts';
import { describedAs, readDescription, registering, type SelfDescription } from './self-description.ts';

/** Bounds of what registers itself. */
const bounds = Object.freeze({
  /** In an hour, from one address or with one token; and changes that one client makes to what it registered. */
  perHour: { address: 20, token: 200, client: 60 },
  /** Of one organization, at a time. */
  most: 10_000,
});

/** What is told once, and kept as a hash. */
export interface Credentials {
  readonly secret: Secret<string> | undefined;
  readonly access: Secret<string>;
}

/** A client registers itself (RFC 7591 §3). */
export async function register(deps: IssuerDeps, at: Issuing, request: RegistrationRequest): Promise<Readonly<Record<string, unknown>>> {
  const token = await allowed(deps, at, request);
  await countRegistration(deps, at.organization.id, token === undefined ? ['address', countedAs(request.address)] : ['token', token.id]);
  const description = await withinReach(deps, at, readDescription(request.body, registering));
  const now = deps.clock.now();
  const id = newId('clt', now);
  const given: Credentials = { secret: hasSecret(description) ? bearerValue() : undefined, access: bearerValue() };
  await deps.records
    .in(at.organization.id)
    .write((tx) => store(deps, tx, at.organization.id, { id, now, description, given, token, address: request.address }));
  return registrationAnswer(at, { ...description, id, createdAt: now }, given);
}

/** @throws {Fault} `client_registration_closed`, `registration_token_invalid` */
async function allowed(deps: IssuerDeps, at: Issuing, { bearer }: RegistrationRequest): Promise<RegistrationToken | undefined> {
  if (at.registration === 'off') throw new Fault('client_registration_closed');
  if (bearer === undefined && at.registration === 'open') return undefined;
  const token = bearer === undefined ? undefined : await presentedToken(deps, at.organization.id, bearer);
  if (token === undefined) throw new Fault('registration_token_invalid');
  return token;
}

/** @throws {Fault} `rate_limited` */
export async function countRegistration(
  { ephemera }: IssuerDeps,
  organization: OrganizationId,
  [kind, name]: readonly [keyof typeof bounds.perHour, string],
): Promise<void> {
  const hour = 3_600_000;
  const count = await ephemera.bump(ephemeraKey('rate', 'registration', organization, kind, name), hour);
  if (count > bounds.perHour[kind]) throw new Fault('rate_limited', { retryAfter: hour / 1000 });
}

/** Scopes that anybody may ask a person for: ours, and those of open resources. Nobody gives themselves another by naming it. */
export async function withinReach({ resources }: IssuerDeps, at: Issuing, description: SelfDescription): Promise<SelfDescription> {
  const open = [...(await resources.registered(at.organization.id)).values()].filter((resource) => resource.open);
  const everybodys = new Set([...Object.keys(ownScopes), ...open.flatMap(({ scopes }) => scopes.map(({ name }) => name))]);
  return { ...description, scopes: description.scopes.filter((scope) => everybodys.has(scope)) };
}

export function hasSecret({ authentication }: Pick<SelfDescription, 'authentication'>): boolean {
  return authentication === 'client_secret_basic' || authentication === 'client_secret_post';
}

interface Registering {
  readonly id: ClientId;
  readonly now: number;
  readonly description: SelfDescription;
  readonly given: Credentials;
  readonly token: RegistrationToken | undefined;
  readonly address: string;
}

async function store(deps: IssuerDeps, tx: Writing, organization: OrganizationId, registered: Registering): Promise<void> {
  const { id, now, description, given, token, address } = registered;
  // The counter's lock first: who registers at the same time counts this one, or is counted.
  await tx.bump('issuing');
  if ((await countRegistrations(tx, organization)) >= bounds.most) throw new Fault('registration_quota');
  if (token !== undefined && !(await useRegistrationToken(tx, organization, token.id, now))) throw new Fault('registration_token_invalid');
  const { name, authentication, redirectUris } = description;
  const place = { organization_id: organization, created_at: now };
  await insertClient(tx, { ...place, id, name, source: 'dynamic', authentication, metadata_json: metadataJson(description) });
  await insertRegistration(tx, {
    ...place,
    client_id: id,
    token_hash: sha256(given.access.reveal()),
    registration_token_id: token?.id ?? null,
    expires_at: now + lives.registration,
  });
  if (given.secret !== undefined) await insertOwnSecret(tx, organization, { client: id, secret: given.secret, now });
  const fields = { client: id, name, authentication, redirect_uris: redirectUris, address, token: token?.id ?? null };
  await deps.audit.record(tx, { name: 'client.registered', principal: system(organization), fields });
}

export async function insertOwnSecret(
  tx: Writing,
  organization: OrganizationId,
  { client, secret, now }: { readonly client: ClientId; readonly secret: Secret<string>; readonly now: number },
): Promise<ClientSecretId> {
  const id = newId('sct', now);
  const row = {
    id,
    organization_id: organization,
    created_at: now,
    client_id: client,
    secret_hash: sha256(secret.reveal()),
    expires_at: null,
  };
  await insertSecret(tx, row);
  return id;
}

export function metadataJson({ name: _name, authentication: _authentication, ...metadata }: SelfDescription): string {
  return JSON.stringify(metadata satisfies ClientMetadata);
}

/** What was stored, and what the client is known and let in by from now on (RFC 7591 §3.2.1, RFC 7592 §3). */
export function registrationAnswer(
  { issuer }: Issuing,
  client: Omit<SelfDescription, 'resources' | 'protects'> & { readonly id: ClientId; readonly createdAt: number },
  { secret, access }: Credentials,
): Readonly<Record<string, unknown>> {
  return {
    client_id: client.id,
    client_id_issued_at: Math.floor(client.createdAt / 1000),
    ...(secret === undefined ? {} : { client_secret: secret.reveal(), client_secret_expires_at: 0 }),
    registration_access_token: access.reveal(),
    registration_client_uri: `${issuer}${endpointPaths.register}/${client.id}`,
    ...describedAs(client),
  };
}
