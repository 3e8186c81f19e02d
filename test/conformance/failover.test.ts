import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { isFault, silentLog, systemClock } from '#kernel';
import { openStore, type Store } from '#store';
import type { Database } from '../support/databases.ts';
import { until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { type OwnServer, ownKinds, ownNeeds, ownServer, ownStandby } from '../support/own-server.ts';
import { temporaryFolder } from '../support/store.ts';
import { movableWire } from '../support/wire.ts';

async function openOn(database: Database): Promise<Store> {
  const store = await openStore({ home: temporaryFolder(), ephemera: 'sql', database, clock: systemClock, log: silentLog });
  await store.migrate();
  return store;
}

const note = (store: Store, name: string) =>
  store.records.platform('test').write(({ db }) => db.insertInto('platform_facts').values({ name, value: '', version: 1 }).execute());
const names = async (store: Store) => {
  const read = store.records.platform('test').read(({ db }) => db.selectFrom('platform_facts').select('name').orderBy('name').execute());
  return (await read).map(({ name }) => name);
};
const unavailable = (error: unknown) => isFault(error, 'unavailable');

/** How a server is made to take no writes, and to take them again. */
const switches = {
  postgresql: {
    off: ['alter system set default_transaction_read_only = on', 'select pg_reload_conf()'],
    on: ['alter system reset default_transaction_read_only', 'select pg_reload_conf()'],
  },
  mariadb: { off: ['set global read_only = 1'], on: ['set global read_only = 0'] },
} as const;

async function all(server: OwnServer, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await server.admin(statement);
}

/** As a user who may not write to a server that is read-only, as whoever owns it may. */
async function plainUser(server: OwnServer, name: string): Promise<Database> {
  if (name === 'postgresql') return server.database;
  await all(server, ['create database gatehouse', `create user gatehouse@'%'`, `grant all on gatehouse.* to gatehouse@'%'`]);
  const url = new URL(server.database.url);
  url.username = 'gatehouse';
  url.pathname = '/gatehouse';
  return { url: url.href, schema: 'gatehouse' };
}

describe.each(ownKinds)('a $name that changes', (kind) => {
  const test = testWith(...kind.needs);

  test('a server that takes no writes refuses them as unavailable, leaves nothing, and takes the next one once it does', async () => {
    const server = await ownServer(kind.name);
    const store = await openOn(await plainUser(server, kind.name));
    await note(store, 'before');
    await all(server, switches[kind.name].off);
    await expect(note(store, 'meanwhile')).rejects.toSatisfy(unavailable);
    await expect(store.ephemera.claim('key', 'value', 60_000)).rejects.toSatisfy(unavailable);
    await all(server, switches[kind.name].on);
    await note(store, 'after');
    expect(await store.ephemera.claim('key', 'value', 60_000)).toBe(true);
    expect(await names(store)).toEqual(['after', 'before']);
    await store.close();
  }, 30_000);

  test('a write under way while every connection is ended is done again, once', async () => {
    const server = await ownServer(kind.name);
    const store = await openOn(await plainUser(server, kind.name));
    await note(store, 'before');
    let runs = 0;
    await store.records.platform('test').write(async ({ db }) => {
      runs++;
      await db.insertInto('platform_facts').values({ name: 'once', value: '', version: 1 }).execute();
      if (runs === 1) await endConnections(server, kind.name);
      await db.updateTable('platform_facts').set({ value: 'done' }).where('name', '=', 'once').execute();
    });
    expect([runs, await names(store)]).toEqual([2, ['before', 'once']]);
    await store.close();
  }, 30_000);

  test('a server that restarts is met again by itself', async () => {
    const server = await ownServer(kind.name);
    const store = await openOn(await plainUser(server, kind.name));
    await note(store, 'before');
    await endConnections(server, kind.name);
    await Promise.all(Array.from({ length: 20 }, (_, index) => note(store, `n${index}`)));
    expect(await names(store)).toHaveLength(21);
    await store.close();
  }, 30_000);
});

async function endConnections(server: OwnServer, name: string): Promise<void> {
  if (name === 'postgresql') {
    await server.admin(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gatehouse'`);
    return;
  }
  const list = (await server.admin(`select id from information_schema.processlist where user = 'gatehouse'`)) as { readonly id: unknown }[];
  for (const { id } of list) await server.admin(`kill connection ${Number(id)}`).catch(() => {});
}

describe('a primary that fails over to its standby', () => {
  const test = testWith(...ownNeeds.postgresql);

  test('a standby is not believed about what changed, and a promoted one is taken up by itself', async () => {
    const primary = await ownServer('postgresql', { wal_level: 'replica' });
    const wire = await movableWire(Number(new URL(primary.database.url).port));
    const store = await openOn({ ...primary.database, url: wire.over(primary.database.url) });
    await note(store, 'on the first');
    const standby = await ownStandby(primary);
    await until(async () => ((await standby.admin(`select 1 from ${primary.database.schema}.platform_facts`)) as unknown[]).length === 1);
    wire.move(Number(new URL(standby.database.url).port));
    await sleep(1_500);
    expect(store.changes.age()).toBeGreaterThan(1_000);
    await expect(note(store, 'on a standby')).rejects.toSatisfy(unavailable);
    await primary.stop();
    await standby.admin('select pg_promote()');
    await until(() => store.changes.age() < 600, 15_000);
    await note(store, 'on the second');
    expect(await names(store)).toEqual(['on the first', 'on the second']);
    await store.close();
  }, 60_000);
});
