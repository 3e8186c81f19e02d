import type { Connect, Provider } from '#connect';
import type { OrganizationId } from '#kernel';
import { type Changes, cacheByGeneration } from '#store';

/** Every provider of an organization, kept until a definition changes. */
export interface Providers {
  all(organization: OrganizationId): Promise<readonly Provider[]>;
  close(): void;
}

export function createProviders(connect: Connect, changes: Changes): Providers {
  const cache = cacheByGeneration<readonly Provider[]>(changes, 'providers', 1_000);
  return Object.freeze({
    async all(organization: OrganizationId) {
      return (await cache.get(organization, () => readAll(connect, organization))) ?? [];
    },
    close: cache.close,
  });
}

async function readAll(connect: Connect, organization: OrganizationId): Promise<readonly Provider[]> {
  const found: Provider[] = [];
  let cursor: string | undefined;
  do {
    const page = await connect.providers(organization, { limit: 200, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.items);
    cursor = page.next;
  } while (cursor !== undefined);
  return found;
}
