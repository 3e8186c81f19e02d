import { describe, expect } from 'vitest';
import { Secret } from '#kernel';
import { channelOf } from '../../src/store/backends/postgres/push.ts';
import { kinds, newDatabase, openTwo } from '../support/databases.ts';
import { until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { startRedis } from '../support/redis.ts';
import { openFilePair } from '../support/store.ts';
import { type Spoiled, spoiledWire } from '../support/wire.ts';
import { changesCases, pushCases } from './changes.suite.ts';
import { runSuite } from './suite.ts';

/** Push may be cut in silence, or over and over: polling alone keeps every promise. */
const ways: readonly Spoiled['effect'][] = ['mute', 'cut'];
const [postgresql] = kinds.filter(({ name }) => name === 'postgresql');
if (postgresql === undefined) throw new Error('a kind is missing');
const trying = testWith(...postgresql.needs);

for (const effect of ways) {
  runSuite(
    `changes on postgresql whose push is ${effect}`,
    changesCases,
    async () => {
      const database = await newDatabase(postgresql);
      const wire = await spoiledWire(Number(new URL(database.url).port), { sign: /listen "gatehouse_/, effect });
      return await openTwo({ ...database, url: wire.over(database.url) });
    },
    trying,
  );

  runSuite(
    `changes with redis whose push is ${effect}`,
    changesCases,
    async () => {
      const server = await startRedis();
      const { port } = await spoiledWire(server.port, { sign: /subscribe\r\n/i, effect });
      const redis = { url: new Secret(`redis://127.0.0.1:${port}`), connectTimeout: 5_000, commandTimeout: 5_000 };
      const pair = await openFilePair({ clock: 'system', ephemera: 'redis', redis });
      return { ...pair, close: () => pair.close().then(() => server.stop()) };
    },
    testWith('redis-server'),
  );
}

describe('push by postgresql', () => {
  trying('goes on by itself after its connection was ended', async () => {
    const database = await newDatabase(postgresql);
    const { first, second, close } = await openTwo(database);
    const { default: pg } = await import('pg');
    const admin = new pg.Client({ connectionString: database.url });
    await admin.connect();
    const listening = async () => {
      const text = `select pid from pg_stat_activity where query like $1 and pid <> pg_backend_pid()`;
      return (await admin.query<{ pid: number }>(text, [`%listen "${channelOf(database.schema)}"%`])).rows;
    };
    await until(async () => (await listening()).length === 2);
    const before = await listening();
    for (const { pid } of before) await admin.query('select pg_terminate_backend($1)', [pid]);
    await until(async () => (await listening()).filter(({ pid }) => !before.some((one) => one.pid === pid)).length === 2);
    await admin.end();
    for (const { run } of pushCases) await run({ first, second });
    await close();
    expect(before).toHaveLength(2);
  });
});
