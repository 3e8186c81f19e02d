import { type AgentId, type Clock, Fault, type OrganizationId, type UserId } from '#kernel';
import { type Changes, cacheByGeneration, type Reading, type Records, stalest } from '#store';
import { isExpired, type KnownAgent, knownAgentOf } from './agent-view.ts';
import { agentBy } from './agents.sql.ts';
import type { Organization, User } from './contract.ts';
import { organizationById } from './organizations.sql.ts';
import { defaultSlug, organizationOf, organizationOfSlug } from './organizations.ts';
import { userById, userOf } from './users.sql.ts';

/** Agents and users kept in memory; the rest is read when asked for. */
const most = 20_000;

/** Who exists, as last known: from caches that forget at every change of the topic `identity`. */
export type Directory = ReturnType<typeof createDirectory>;

export function createDirectory(records: Records, changes: Changes, clock: Clock) {
  const organizations = cacheByGeneration<Organization>(changes, 'identity', 1_000);
  const slugs = cacheByGeneration<Organization>(changes, 'identity', 1_000);
  const agents = cacheByGeneration<KnownAgent>(changes, 'identity', most);
  const users = cacheByGeneration<User>(changes, 'identity', most);

  function known(organization: OrganizationId, column: 'id' | 'did', value: string): Promise<KnownAgent | undefined> {
    return agents.get(`${organization} ${column} ${value}`, () =>
      records.in(organization).read((tx) => effectiveAgent(tx, organization, column, value)),
    );
  }

  async function living(organization: OrganizationId, column: 'id' | 'did', value: string): Promise<KnownAgent | undefined> {
    if (changes.age() > stalest) throw new Fault('stale_revocations');
    const found = await known(organization, column, value);
    return found === undefined || isExpired(found.agent, clock.now()) ? undefined : found;
  }

  return Object.freeze({
    async organization(id: OrganizationId): Promise<Organization> {
      const found = await organizations.get(id, async () => {
        const row = await records.in(id).read((tx) => organizationById(tx, id));
        return row === undefined ? undefined : organizationOf(row);
      });
      if (found === undefined) throw new Fault('not_found');
      return found;
    },
    async organizationBySlug(slug: string | undefined): Promise<Organization> {
      // It is reached by its own issuer alone, the public URL.
      const wanted = slug ?? defaultSlug;
      const found = slug === defaultSlug ? undefined : await slugs.get(wanted, () => organizationOfSlug(records, wanted));
      if (found === undefined) throw new Fault('issuer_unknown');
      return found;
    },
    agent: (organization: OrganizationId, id: AgentId) => living(organization, 'id', id),
    agentByDid: (organization: OrganizationId, did: string) => living(organization, 'did', did),
    user: (organization: OrganizationId, id: UserId) =>
      users.get(`${organization} ${id}`, async () => {
        const row = await records.in(organization).read((tx) => userById(tx, organization, id));
        return row === undefined ? undefined : userOf(row);
      }),
    close() {
      for (const cache of [organizations, slugs, agents, users]) cache.close();
    },
  });
}

/** An agent stands no better than its owner. */
async function effectiveAgent(
  tx: Reading,
  organization: OrganizationId,
  column: 'id' | 'did',
  value: string,
): Promise<KnownAgent | undefined> {
  const row = await agentBy(tx, organization, column, value);
  if (row === undefined) return undefined;
  const owner = row.owner_user_id === null ? undefined : await userById(tx, organization, row.owner_user_id);
  const ownerEnded = row.owner_user_id !== null && owner?.status !== 'active';
  return knownAgentOf(ownerEnded && row.status !== 'revoked' ? { ...row, status: 'suspended' } : row);
}
