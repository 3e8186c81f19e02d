import type { Identity, User } from '#identity';
import { type Clock, Fault, newId, type OrganizationId } from '#kernel';
import { type Changes, cacheByGeneration } from '#store';
import type { Session } from './contract.ts';
import { principalOf, refuseWhenStale } from './sessions.ts';

const hour = 3_600_000;

/**
 * The session of whoever holds the local socket, which only the operating system guards: the first administrator at a
 * command line. It was never authenticated by us, so it is never fresh, and it is not stored.
 */
export function createLocalSession(identity: Identity, changes: Changes, clock: Clock) {
  const owners = cacheByGeneration<User>(changes, 'identity', 100);
  const id = newId('ses', clock.now());

  return Object.freeze({
    async session(organization: OrganizationId): Promise<Session> {
      refuseWhenStale(changes);
      const user = await owners.get(organization, () => identity.owner(organization));
      if (user === undefined) throw new Fault('setup_required');
      const expiresAt = clock.now() + hour;
      return Object.freeze({
        id,
        organization,
        user,
        kind: 'command_line',
        authenticatedAt: 0,
        methods: [],
        expiresAt,
        principal: principalOf(user),
        sid: id,
      });
    },
    close: () => owners.close(),
  });
}
