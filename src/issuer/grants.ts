import type { User } from '#identity';
import { type ClientId, Fault, type GrantId, type OrganizationId, type Principal, type UserId } from '#kernel';
import { parent } from '#oauth';
import { isUniqueViolation, pageLimit, pageOf, rowOfCursor, type Writing } from '#store';
import { forgetConsents } from './consents.sql.ts';
import type { Epochs, Grant, Issuing, StandingGrant } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import {
  clientsWithGrants,
  endStandingGrant,
  type Found,
  insertGrant,
  standingGrant,
  standingGrantOf,
  standingGrantsPage,
} from './grants.sql.ts';
import { longestUntil } from './lives.ts';

export function principalOf({ organization, user }: Pick<Grant, 'organization' | 'user'>): Principal {
  return { organization, subject: { kind: 'user', id: user }, actors: [] };
}

/** Stores a grant with its event, in the caller's transaction. */
export async function insertedGrant(deps: IssuerDeps, tx: Writing, grant: Grant): Promise<void> {
  await insertGrant(tx, grant, deps.clock.now());
  const { id, client, scopes, resources } = grant;
  await deps.audit.record(tx, { name: 'grant.made', principal: principalOf(grant), fields: { grant: id, client, scopes, resources } });
}

const mostListed = 200;

/** What stands for a person. A removed client's grants no longer do. */
export async function grantsOf(deps: IssuerDeps, organization: OrganizationId, user: UserId): Promise<readonly StandingGrant[]> {
  return (await grantsPage(deps, organization, user, { limit: mostListed })).items;
}

/** The same by page. One may be shorter than asked for, or empty, before the last. */
export async function grantsPage(
  deps: IssuerDeps,
  organization: OrganizationId,
  user: UserId,
  query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
): Promise<{ readonly items: readonly StandingGrant[]; readonly next?: string }> {
  const { records, clients, clock } = deps;
  const now = clock.now();
  const limit = pageLimit(query.limit);
  const before = query.cursor === undefined ? undefined : rowOfCursor(query.cursor);
  const nameOf = async (client: ClientId) => (await clients.find(organization, client))?.name;
  const found = await matching(deps, organization, user, query.text);
  const rows = await records.in(organization).read((tx) => standingGrantsPage(tx, user, { now, before, limit, found }));
  const { items, next } = pageOf(rows, limit, standingGrantOf);
  const named = await Promise.all(items.map(async (grant) => ({ ...grant, clientName: await nameOf(grant.client) })));
  const standing = named.flatMap(({ clientName, ...grant }) => (clientName === undefined ? [] : [{ ...grant, clientName }]));
  return next === undefined ? { items: standing } : { items: standing, next };
}

/** What a search is for: the text itself, and those of the person's clients that are called so. */
async function matching(
  deps: IssuerDeps,
  organization: OrganizationId,
  user: UserId,
  text: string | undefined,
): Promise<Found | undefined> {
  if (text === undefined) return undefined;
  const wanted = text.toLowerCase();
  const ids = await deps.records.in(organization).read((tx) => clientsWithGrants(tx, user, deps.clock.now()));
  const named = await Promise.all(ids.map(async (id) => ({ id, name: (await deps.clients.find(organization, id))?.name ?? '' })));
  return { text: wanted, clients: named.filter(({ id, name }) => `${id} ${name}`.toLowerCase().includes(wanted)).map(({ id }) => id) };
}

/**
 * Ends a grant and with it every token below; true if it stood. Every replica refuses them within a second (SECURITY 16).
 * Where its person ends it, they are asked anew the next time.
 */
export async function endGrant(
  deps: IssuerDeps,
  organization: OrganizationId,
  id: GrantId,
  reason: string,
  by?: Principal,
): Promise<boolean> {
  try {
    return await deps.records.in(organization).write((tx) => endGrantIn(deps, tx, { organization, id, reason, by }));
  } catch (error) {
    if (isUniqueViolation(error, 'endings.subject')) return false;
    throw error;
  }
}

export interface Ending {
  readonly organization: OrganizationId;
  readonly id: GrantId;
  readonly reason: string;
  readonly by?: Principal | undefined;
}

/** The same in the caller's transaction. */
export async function endGrantIn(deps: IssuerDeps, tx: Writing, { organization, id, reason, by }: Ending): Promise<boolean> {
  const now = deps.clock.now();
  const ended = await endStandingGrant(tx, id, reason, now);
  if (ended === undefined) return false;
  await deps.endings.insert(tx, { organization, subject: parent.grant(id), expiresAt: longestUntil(now) });
  if (by !== undefined) await forgetConsents(tx, ended.user, ended.client);
  const fields = { grant: id, client: ended.client, reason };
  await deps.audit.record(tx, { name: 'grant.ended', principal: by ?? principalOf(ended), fields });
  return true;
}

/** Ends a person's own grant; true if it stood. Of anybody else's it says nothing. */
export async function endOwnGrant(deps: IssuerDeps, by: Principal, id: GrantId): Promise<boolean> {
  const grant = await deps.records.in(by.organization).read((tx) => standingGrant(tx, id));
  if (by.subject.kind !== 'user' || grant?.user !== by.subject.id) return false;
  return endGrant(deps, by.organization, id, 'ended_by_person', by);
}

/** What a parent's epoch must still be. @throws {Fault} `grant_invalid` when the person or the organization has ended it */
export async function livingUser(deps: IssuerDeps, at: Issuing, { user: id, epochs }: Pick<Grant, 'user' | 'epochs'>): Promise<User> {
  const user = await deps.identity.user(at.organization.id, id);
  if (user === undefined || !stands(at, user, epochs)) throw new Fault('grant_invalid');
  return user;
}

export function stands(at: Issuing, user: User, epochs: Epochs): boolean {
  return user.status === 'active' && user.epoch === epochs.user && at.organization.epoch === epochs.organization;
}
