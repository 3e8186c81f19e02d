import { type LifeName, type Lives, lifeBounds } from '#api';
import { Fault, type OrganizationId, type Principal } from '#kernel';
import { cacheByGeneration, isUniqueViolation, type Writing } from '#store';
import type { Client, Lifetimes } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { livesOf, storeLives } from './lifetimes.sql.ts';

/** How long what is issued lives: as the client is registered, else as its organization, else the installation has set, else as usual. */
export function createLifetimes(deps: IssuerGround): Lifetimes & { close(): void } {
  const { records, changes } = deps;
  const known = cacheByGeneration<Lives>(changes, 'issuing', 1_000);

  async function set(organization: OrganizationId): Promise<Lives> {
    const load = async () => JSON.parse((await records.in(organization).read((tx) => livesOf(tx, organization))) ?? '{}') as Lives;
    return (await known.get(organization, load)) ?? {};
  }

  return Object.freeze({
    set,
    async of({ organization, lives }: Pick<Client, 'organization' | 'lives'>, name: LifeName) {
      const { usual, least, most } = lifeBounds[name];
      const seconds = lives[name] ?? (await set(organization))[name] ?? deps.lives?.[name] ?? usual;
      return Math.min(most, Math.max(least, seconds)) * 1000;
    },
    change: (tx: Writing, by: Principal, lives: Lives) => change(deps, tx, by, lives),
    close: () => known.close(),
  });
}

async function change(deps: IssuerGround, tx: Writing, by: Principal, lives: Lives): Promise<void> {
  await storeLives(tx, by.organization, JSON.stringify(lives), deps.clock.now()).catch((cause: unknown) => {
    if (!isUniqueViolation(cause)) throw cause;
    throw new Fault('conflict', { cause });
  });
  await deps.audit.record(tx, { name: 'lives.changed', principal: by, fields: { lives: JSON.stringify(lives) } });
  await tx.bump('issuing');
}
