import type { User } from '#identity';
import { Fault, newId } from '#kernel';
import { isUniqueViolation, sha256 } from '#store';
import { detailHash } from './authorization-details.ts';
import { documentDigest } from './client-documents.ts';
import { type ConsentRow, consentAbout, insertConsent, widenConsent } from './consents.sql.ts';
import type { IssuerDeps } from './deps.ts';
import { isLocal, redirectHost } from './redirects.ts';
import type { Detailed } from './stages.ts';

type Asked = Pick<Detailed, 'at' | 'client' | 'redirect' | 'scopes' | 'resources' | 'details'>;

/**
 * What a consent is about: never another organization, person, client, redirect host, name or set of keys than the person saw, and
 * of a client that a document describes no other document (SECURITY 26).
 */
function aboutHash({ at, client, redirect }: Asked, user: User): string {
  const keys = client.jwksUri === undefined ? [client.jwks] : [client.jwks, client.jwksUri];
  const shown = client.source === 'document' ? documentDigest(client) : sha256(JSON.stringify([client.name, ...keys]));
  return sha256(JSON.stringify([at.organization.id, user.id, client.id, redirectHost(redirect), shown]));
}

/**
 * What this person agreed to of it before, where nothing of it is new to them; undefined: they have to be asked. Never for a redirect to this machine, where any program may wait; and never over
 * plain http, where whoever serves another port of this machine may hold the session (RFC 6265 §8.5).
 */
export async function remembered(deps: IssuerDeps, asked: Asked, user: User): Promise<readonly string[] | undefined> {
  if (isLocal(asked.redirect) || !asked.at.issuer.startsWith('https:')) return undefined;
  const row = await deps.records.in(user.organization).read((tx) => consentAbout(tx, aboutHash(asked, user)));
  if (row === undefined || !asked.resources.every((one) => listOf(row.resources_json).includes(one))) return undefined;
  if (!asked.details.map(detailHash).every((one) => listOf(row.details_json).includes(one))) return undefined;
  const [given, declined] = [listOf(row.scopes_json), listOf(row.declined_json)];
  const kept = asked.scopes.filter((scope) => given.includes(scope));
  const known = asked.scopes.every((scope) => given.includes(scope) || declined.includes(scope));
  return known && (kept.length > 0 || asked.scopes.length === 0) ? kept : undefined;
}

function listOf(json: string | null): readonly string[] {
  return json === null ? [] : (JSON.parse(json) as string[]);
}

/** What was asked for, without what the person left out. */
export interface Agreed extends Asked {
  readonly declined: readonly string[];
}

/** Keeps what the person agreed to, beside what they agreed to before, also in another window at the same time. */
export async function remember(deps: IssuerDeps, agreed: Agreed, user: User): Promise<void> {
  for (let tries = 1; !(await keep(deps, agreed, user)); tries++) if (tries === most) throw new Fault('conflict');
}

const most = 5;

/** False when somebody else kept something else meanwhile. */
async function keep(deps: IssuerDeps, asked: Agreed, user: User): Promise<boolean> {
  try {
    return await deps.records.in(user.organization).write(async (tx) => {
      const hash = aboutHash(asked, user);
      const before = await consentAbout(tx, hash);
      if (before === undefined) await insertConsent(tx, consentOf(deps, asked, user, hash));
      else if (!(await widenConsent(tx, before, widened(before, asked)))) return false;
      const { client, redirect, scopes, resources } = asked;
      const fields = { client: client.id, redirect_host: redirectHost(redirect), scopes, resources };
      await deps.audit.record(tx, { name: 'consent.given', principal: byUser(user), fields });
      return true;
    });
  } catch (error) {
    if (isUniqueViolation(error, 'consents.about_hash')) return false;
    throw error;
  }
}

/** A no is told, and nothing is kept. */
export async function tellRefusal(deps: IssuerDeps, { client, redirect }: Asked, user: User): Promise<void> {
  const fields = { client: client.id, redirect_host: redirectHost(redirect) };
  await deps.records
    .in(user.organization)
    .write((tx) => deps.audit.record(tx, { name: 'consent.refused', principal: byUser(user), fields }));
}

function byUser(user: User) {
  return { organization: user.organization, subject: { kind: 'user', id: user.id }, actors: [] } as const;
}

function consentOf(deps: IssuerDeps, asked: Agreed, user: User, hash: string): Omit<ConsentRow, 'row' | 'version'> {
  const now = deps.clock.now();
  return {
    id: newId('cst', now),
    organization_id: user.organization,
    created_at: now,
    user_id: user.id,
    client_id: asked.client.id,
    redirect_host: redirectHost(asked.redirect),
    about_hash: hash,
    scopes_json: JSON.stringify(asked.scopes),
    resources_json: JSON.stringify(asked.resources),
    details_json: JSON.stringify(asked.details.map(detailHash)),
    declined_json: JSON.stringify(asked.declined),
  };
}

/** The latest word counts: what was left out now is no longer agreed to, and the other way round. */
function widened(before: ConsentRow, { scopes, resources, details, declined }: Agreed) {
  const join = (json: string | null, more: readonly string[], less: readonly string[]) =>
    JSON.stringify([...new Set([...listOf(json), ...more])].filter((one) => !less.includes(one)));
  return {
    scopes_json: join(before.scopes_json, scopes, declined),
    resources_json: join(before.resources_json, resources, []),
    details_json: join(before.details_json, details.map(detailHash), []),
    declined_json: join(before.declined_json, declined, scopes),
  };
}
