import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { silentLog, systemClock } from '#kernel';
import { openStore, type Store } from '#store';
import type { Database } from '../support/databases.ts';
import { until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { type OwnServer, ownKinds, ownServer } from '../support/own-server.ts';
import { temporaryFolder } from '../support/store.ts';

const idleSetting = { postgresql: { idle_session_timeout: '2000' }, mariadb: { wait_timeout: '2' } } as const;

/** A user of the server, whose connections can be told from others. */
async function userOf(server: OwnServer, name: string): Promise<{ readonly database: Database; connections(): Promise<number> }> {
  const user = `u_${randomBytes(4).toString('hex')}`;
  const postgres = name === 'postgresql';
  const statements = postgres
    ? [`create role ${user} login superuser`]
    : [`create database ${user}`, `create user ${user}@'%'`, `grant all on *.* to ${user}@'%'`];
  for (const statement of statements) await server.admin(statement);
  const url = new URL(server.database.url);
  url.username = user;
  if (!postgres) url.pathname = `/${user}`;
  const count = postgres
    ? `select count(*) as n from pg_stat_activity where usename = '${user}'`
    : `select count(*) as n from information_schema.processlist where user = '${user}'`;
  return {
    database: { url: url.href, schema: user },
    connections: async () => Number(((await server.admin(count)) as { readonly n: unknown }[])[0]?.n),
  };
}

async function busy(store: Store): Promise<void> {
  const platform = store.records.platform('test');
  const work = Array.from({ length: 60 }, (_, index) =>
    index % 3 === 0
      ? store.ephemera.put(`k${index}`, 'v', 60_000)
      : index % 3 === 1
        ? platform.read(({ db }) => db.selectFrom('generations').selectAll().execute())
        : platform.write((tx) => tx.bump('keys')),
  );
  await Promise.all(work);
}

describe.each(ownKinds)('connections to $name', (kind) => {
  const test = testWith(...kind.needs);

  test('one process opens no more than the setting says, and closes what it does not use', async () => {
    const { database, connections } = await userOf(await ownServer(kind.name), kind.name);
    const more = { connections: 6, idle: 1_000 };
    const store = await openStore({
      home: temporaryFolder(),
      ephemera: 'sql',
      database: { ...database, ...more },
      clock: systemClock,
      log: silentLog,
    });
    await store.migrate();
    let most = 0;
    const counting = setInterval(() => void connections().then((count) => (most = Math.max(most, count))), 15);
    for (let round = 0; round < 5; round++) await busy(store);
    clearInterval(counting);
    expect(most).toBeGreaterThan(2);
    expect(most).toBeLessThanOrEqual(6);
    // Those that poll, and the one that listens, where there is one.
    await until(async () => (await connections()) <= 4, 15_000);
    await busy(store);
    await store.close();
    await until(async () => (await connections()) === 0);
  });

  test('a server that closes idle connections early is forestalled: nothing fails', async () => {
    const { database } = await userOf(await ownServer(kind.name, idleSetting[kind.name]), kind.name);
    const store = await openStore({ home: temporaryFolder(), ephemera: 'sql', database, clock: systemClock, log: silentLog });
    await store.migrate();
    for (const pause of [900, 1_900, 2_000, 2_100, 3_000]) {
      await sleep(pause);
      await busy(store);
      await store.ephemera.bump('counter', 60_000);
    }
    expect(await store.ephemera.bump('counter', 60_000)).toBe(6);
    await store.close();
  }, 30_000);
});
