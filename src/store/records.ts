import type { Kysely } from 'kysely';
import type { OrganizationId } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import type { ChangeFeed } from './changes.ts';
import { StoreMisuse } from './errors.ts';
import { type Narrowing, narrowingTo } from './narrowing.ts';
import type { Reading, Records, Scope, Topic, Writing } from './ports.ts';
import type { Schema } from './schema.ts';

const rememberedScopes = 1_000;

/** Records on any SQL backend: who may see which rows, and telling what changed. */
export function createRecords(deps: { readonly backend: RecordsBackend; readonly changes: ChangeFeed }): Records {
  const scopes = new Map<OrganizationId, Scope>();
  const platformScope = createScope(deps, undefined, undefined);
  const reasons = new Set<string>();
  return Object.freeze({
    in(organization: OrganizationId) {
      const known = scopes.get(organization);
      if (known !== undefined) return known;
      const scope = createScope(deps, organization, narrowingTo(organization));
      if (scopes.size >= rememberedScopes) scopes.clear();
      scopes.set(organization, scope);
      return scope;
    },
    platform(reason: string) {
      if (reason.trim() === '') throw new StoreMisuse('say why rows of many organizations are needed');
      reasons.add(reason);
      return platformScope;
    },
    reasons: () => [...reasons].sort(),
  });
}

function createScope(
  deps: { readonly backend: RecordsBackend; readonly changes: ChangeFeed },
  organization: OrganizationId | undefined,
  narrowing: Narrowing | undefined,
): Scope {
  const { backend, changes } = deps;
  return Object.freeze({
    read: <T>(fn: (tx: Reading) => Promise<T>) => backend.read(narrowing, (db) => fn({ db, organization })),
    async write<T>(fn: (tx: Writing) => Promise<T>): Promise<T> {
      const bumped = new Map<Topic, number>();
      return await backend.write(
        narrowing,
        (db) => {
          bumped.clear();
          return fn(writingHandle(db, organization, bumped));
        },
        () => changes.committed(bumped),
      );
    },
  });
}

function writingHandle(db: Kysely<Schema>, organization: OrganizationId | undefined, bumped: Map<Topic, number>): Writing {
  return {
    db,
    organization,
    async bump(topic) {
      bumped.set(topic, await raise(db, topic));
    },
  };
}

/** Raises the one counter row of a topic, which stays locked until the transaction ends. */
export async function raise(db: Kysely<Schema>, topic: Topic): Promise<number> {
  const { numUpdatedRows } = await db
    .updateTable('generations')
    .set((row) => ({ value: row('value', '+', 1) }))
    .where('topic', '=', topic)
    .executeTakeFirstOrThrow();
  if (numUpdatedRows !== 1n) throw new StoreMisuse(`there is no topic ${topic}`);
  const { value } = await db.selectFrom('generations').select('value').where('topic', '=', topic).executeTakeFirstOrThrow();
  return value;
}
