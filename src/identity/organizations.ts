import type { Audit } from '#audit';
import { type Clock, Fault, type Log, newId, type OrganizationId, type Principal } from '#kernel';
import { isUniqueViolation, pageOf, type Records, type Writing } from '#store';
import type { Vault } from '#vault';
import type { InvitationDraft, Listing, ListQuery, Organization } from './contract.ts';
import { parsePersonName } from './email.ts';
import { invite } from './invitations.ts';
import {
  insertIssuer,
  insertOrganization,
  issuerHolder,
  type OrganizationRow,
  organizationById,
  organizationBySlug,
  organizationsPage,
  otherOrganizations,
  updateIssuer,
} from './organizations.sql.ts';
import { pageStart } from './page.ts';
import { makeTeamVault } from './vaults.ts';

export const defaultSlug = 'default';
const foreignIssuer = 'the public URL once belonged to another organization';
const scope = 'the organizations of this installation';

export interface OrganizationDeps {
  readonly records: Records;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
}

/** @throws {Fault} `not_found` before the first start made it */
export async function defaultOrganization(records: Records): Promise<Organization> {
  const found = await records.platform(scope).read((tx) => organizationBySlug(tx, defaultSlug));
  if (found === undefined) throw new Fault('not_found');
  return organizationOf(found);
}

export async function organizationOfSlug(records: Records, slug: string): Promise<Organization | undefined> {
  const found = await records.platform(scope).read((tx) => organizationBySlug(tx, slug));
  return found === undefined ? undefined : organizationOf(found);
}

/**
 * Makes the default organization, or gives the one that stands. However many processes start at once, one row is made:
 * whoever loses on the unique slug reads the winner's. A changed public URL changes the issuer, and says so.
 */
export async function ensureDefaultOrganization(deps: OrganizationDeps, publicUrl: string): Promise<Organization> {
  const issuer = issuerOf(publicUrl);
  const platform = deps.records.platform(scope);
  const standing = () => platform.read((tx) => organizationBySlug(tx, defaultSlug));
  const found = (await standing()) ?? (await make(deps, { slug: defaultSlug, name: 'Default', issuer })) ?? (await standing());
  if (found === undefined) throw new Fault('invalid_setting', { detail: foreignIssuer });
  const organization = found.issuer === issuer ? organizationOf(found) : await changeIssuer(deps, found, issuer);
  await followPublicUrl(deps, issuer);
  return organization;
}

const atOnce = 500;

/** Every other organization's issuer lies below the default one's. */
async function followPublicUrl(deps: OrganizationDeps, publicUrl: string): Promise<void> {
  for (let last = 0; ; ) {
    const page = await deps.records.platform(scope).read((tx) => otherOrganizations(tx, defaultSlug, last, atOnce));
    for (const { row, ...organization } of page) {
      last = row;
      const issuer = issuerBelow(publicUrl, organization.slug);
      if (organization.issuer !== issuer) await changeIssuer(deps, organization, issuer);
    }
    if (page.length < atOnce) return;
  }
}

function issuerBelow(publicUrl: string, slug: string): string {
  return `${publicUrl}/o/${slug}`;
}

const slugShape = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** An organization with the key of its vault, its team's vault and its issuer, which no other organization ever has (SECURITY 17). */
export async function createOrganization(
  deps: OrganizationDeps,
  { slug, name: typed, owner }: { readonly slug: string; readonly name: string; readonly owner?: InvitationDraft },
): Promise<Organization> {
  if (!slugShape.test(slug)) throw new Fault('invalid_request', { fields: { '/slug': 'use 1 to 63 small letters, digits and hyphens' } });
  const name = parsePersonName(typed);
  const { issuer: publicUrl } = await defaultOrganization(deps.records);
  const made = slug === defaultSlug ? undefined : await make(deps, { slug, name, issuer: issuerBelow(publicUrl, slug) }, owner);
  if (made === undefined) throw new Fault('conflict', { detail: 'there is or was an organization of this name in addresses' });
  return organizationOf(made);
}

export async function organizationsOf(records: Records, query: ListQuery): Promise<Listing<Organization>> {
  const start = pageStart(query);
  return pageOf(await records.platform(scope).read((tx) => organizationsPage(tx, start)), start.limit, organizationOf);
}

/** The issuer string of a public URL: origin and path without a slash at the end. */
function issuerOf(publicUrl: string): string {
  const url = URL.canParse(publicUrl) ? new URL(publicUrl) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.search !== '' || url.hash !== '') {
    throw new Fault('invalid_setting', { detail: 'the public URL must be an http or https URL without query' });
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** Undefined when the slug or the issuer is or was another's. */
async function make(
  deps: OrganizationDeps,
  given: Pick<Organization, 'slug' | 'name' | 'issuer'>,
  owner?: InvitationDraft,
): Promise<OrganizationRow | undefined> {
  const now = deps.clock.now();
  const id = newId('org', now);
  const organization: Organization = { id, ...given, epoch: 1 };
  try {
    await deps.records.platform(scope).write(async (tx) => {
      await insertOrganization(tx, organization, now);
      await insertIssuer(tx, id, given.issuer, now);
      await deps.vault.prepare(tx, { kind: 'organization', organization: id });
      await makeTeamVault(deps, tx, id);
      if (given.slug !== defaultSlug) await deps.audit.record(tx, creation(organization));
      if (owner !== undefined) await invite(deps, tx, operatorOf(id), owner);
      await tx.bump('identity');
    });
    return { ...organization, version: 1 };
  } catch (error) {
    if (isUniqueViolation(error)) return undefined;
    throw error;
  }
}

function creation({ id, slug, issuer }: Organization) {
  return { name: 'organization.created', principal: operatorOf(id), fields: { slug, issuer } } as const;
}

function operatorOf(organization: OrganizationId): Principal {
  return { organization, subject: { kind: 'operator' }, actors: [] };
}

/** An issuer string is never reused by another organization; its own may come back. */
async function changeIssuer(deps: OrganizationDeps, before: OrganizationRow, issuer: string): Promise<Organization> {
  const won = await deps.records.platform(scope).write(async (tx) => {
    if (!(await updateIssuer(tx, before, issuer))) return false;
    await keepIssuer(deps, tx, before.id, issuer);
    await deps.audit.record(tx, {
      name: 'organization.issuer_changed',
      principal: { organization: before.id, subject: { kind: 'operator' }, actors: [] },
      fields: { issuer, previous: before.issuer },
    });
    await tx.bump('identity');
    return true;
  });
  if (!won) return standingUnder(deps, before, issuer);
  deps.log.warn('the public URL changed: agents and command lines must use the new one', { issuer, previous: before.issuer });
  return organizationOf({ ...before, issuer });
}

/** Another process that starts under the same public URL was first. */
async function standingUnder(deps: OrganizationDeps, { id }: OrganizationRow, issuer: string): Promise<Organization> {
  const found = await deps.records.platform(scope).read((tx) => organizationById(tx, id));
  if (found === undefined) throw new Fault('not_found');
  return found.issuer === issuer ? organizationOf(found) : changeIssuer(deps, found, issuer);
}

async function keepIssuer(deps: OrganizationDeps, tx: Writing, id: OrganizationId, issuer: string): Promise<void> {
  const holder = await issuerHolder(tx, issuer);
  if (holder === undefined) await insertIssuer(tx, id, issuer, deps.clock.now());
  else if (holder !== id) throw new Fault('invalid_setting', { detail: foreignIssuer });
}

export function organizationOf(row: OrganizationRow): Organization {
  return Object.freeze({ id: row.id, slug: row.slug, name: row.name, issuer: row.issuer, epoch: row.epoch });
}
