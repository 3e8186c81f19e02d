import { connect, createServer, type Server, type Socket } from 'node:net';
import { sql } from 'kysely';
import { afterAll, describe, expect } from 'vitest';
import { fakeClock, isFault, newId, silentLog } from '#kernel';
import { kinds, newDatabase } from '../../../test/support/databases.ts';
import { freePort } from '../../../test/support/installation.ts';
import { testWith } from '../../../test/support/need.ts';
import type { RecordsBackend } from '../backend.ts';
import { databaseServer } from '../database-server.ts';
import { isUniqueViolation } from '../errors.ts';
import { migrate } from '../migrate.ts';
import { type Migration, migrations } from '../migrations/index.ts';
import { createTable } from '../migrations/tables.ts';
import { openMysql } from './mysql/open.ts';
import { openPostgres } from './postgres/open.ts';

const clock = fakeClock();
const options = { clock, log: silentLog, ephemera: true };
/** As it travels, alone in its message. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: one protocol ends statements with a zero byte
const commitStatement = /[^a-z ]commit(\u0000|$)/;
const ends: (() => unknown)[] = [];

afterAll(async () => {
  for (const end of ends.reverse()) await end();
});

type Database = Awaited<ReturnType<typeof newDatabase>>;

async function open(database: Database): Promise<RecordsBackend> {
  const server = databaseServer(database);
  if (server === undefined) throw new Error('a database server');
  const mysql = server.address.kind === 'mysql';
  const { records, ephemera } = mysql ? await openMysql(server, options) : await openPostgres(server, options);
  ends.push(async () => {
    await records.close();
    await ephemera?.close();
  });
  return records;
}

async function migrated(database: Database): Promise<RecordsBackend> {
  const backend = await open(database);
  await migrate(backend, clock);
  return backend;
}

const note = (backend: RecordsBackend, name: string, value = '') =>
  backend.write(undefined, (db) => db.insertInto('platform_facts').values({ name, value, version: 1 }).execute());

const names = async (backend: RecordsBackend) => {
  const rows = await backend.read(undefined, (db) => db.selectFrom('platform_facts').select('name').orderBy('name').execute());
  return rows.map(({ name }) => name);
};

/** The way to a database, which breaks once, when a client sends what `sign` matches: before that arrives, or before its answer does. */
async function brittle(database: Database, sign: RegExp, breaks: 'before' | 'after'): Promise<Database> {
  const url = new URL(database.url);
  const target = { host: url.hostname, port: Number(url.port) };
  let whole = true;
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connect(target);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => [client, upstream].forEach((one) => void one.destroy()));
    }
    let silent = false;
    client.on('data', (chunk) => {
      const now = whole && sign.test(chunk.toString('latin1'));
      if (now) whole = false;
      if (now && breaks === 'before') client.destroy();
      else upstream.write(chunk);
      if (now) silent = true;
      if (now && breaks === 'after') setTimeout(() => client.destroy(), 300);
    });
    upstream.on('data', (chunk) => silent || client.write(chunk));
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  url.port = String(port);
  return { ...database, url: url.href };
}

describe.each(kinds)('records on $name', (kind) => {
  const test = testWith(...kind.needs);

  test('a unique violation names its columns, and neither the error nor its cause has a value', async () => {
    const backend = await migrated(await newDatabase(kind));
    const organization_id = newId('org');
    const person = {
      organization_id,
      created_at: 1,
      email: 'x',
      email_key: "canary' for 'x",
      name: 'x',
      role: 'member',
      status: 'active',
    } as const;
    const add = () =>
      backend.write(undefined, (db) =>
        db
          .insertInto('users')
          .values({ ...person, id: newId('usr'), password_hash: null, epoch: 1, version: 1 })
          .execute(),
      );
    await add();
    const error = await add().catch((caught: unknown) => caught);
    expect(isUniqueViolation(error) && error.columns).toEqual(['users.organization_id', 'users.email_key']);
    const { message, cause } = error as Error;
    expect(JSON.stringify([message, cause, String(cause), Object.entries(cause as Error)])).not.toContain('canary');
  });

  test('of many that look first and insert what is missing, each sees it in the end, and none fails', async () => {
    const database = await newDatabase(kind);
    const backends = [await migrated(database), await open(database), await open(database)];
    const ensure = (backend: RecordsBackend, maker: string) =>
      backend.write(undefined, async (db) => {
        const found = await db.selectFrom('platform_facts').select('value').where('name', '=', 'one').executeTakeFirst();
        if (found === undefined) await db.insertInto('platform_facts').values({ name: 'one', value: maker, version: 1 }).execute();
        return found?.value ?? maker;
      });
    const makers = await Promise.all(
      Array.from({ length: 24 }, (_, index) => ensure(backends[index % 3] as RecordsBackend, `by ${index}`)),
    );
    expect(new Set(makers).size).toBe(1);
  });

  test('what a transaction goes on to ask for, once the database has undone it, is not done on its own', async () => {
    const database = await newDatabase(kind);
    const backends = [await migrated(database), await open(database)] as const;
    await note(backends[0], 'x');
    await note(backends[0], 'y');
    let waiting = 0;
    let meet = () => {};
    const met = new Promise<void>((resolve) => {
      meet = resolve;
    });
    const cross = (backend: RecordsBackend, self: string, first: string, second: string) => {
      let attempt = 0;
      return backend.write(undefined, async (db) => {
        attempt += 1;
        const touch = (name: string) => db.updateTable('platform_facts').set({ value: self }).where('name', '=', name).execute();
        const leave = (name: string) => db.insertInto('platform_facts').values({ name, value: '', version: 1 }).execute();
        await touch(first);
        if (++waiting === 2) meet();
        if (attempt === 1) await met;
        const asked = [touch(second), leave(`${self} beside ${attempt}`)];
        await Promise.allSettled(asked);
        await leave(`${self} after ${attempt}`).catch(() => {});
      });
    };
    await Promise.all([cross(backends[0], 'a', 'x', 'y'), cross(backends[1], 'b', 'y', 'x')]);
    const left = (await names(backends[0])).filter((name) => /^[ab] /.test(name));
    expect(left.filter((name) => name.startsWith('a'))).toHaveLength(2);
    expect(left.filter((name) => name.startsWith('b'))).toHaveLength(2);
  });

  test('what is still asked for when a write fails, or ends, does not outlive its transaction', async () => {
    const backend = await migrated(await newDatabase(kind));
    const some = (self: string, then: () => void) =>
      backend.write(undefined, async (db) => {
        for (const name of ['1', '2', '3', '4'])
          void db
            .insertInto('platform_facts')
            .values({ name: self + name, value: '', version: 1 })
            .execute()
            .catch(() => {});
        then();
      });
    const failing = some('failed', () => {
      throw new Error('on purpose');
    });
    await expect(failing).rejects.toThrow('on purpose');
    await some('ended', () => {});
    await note(backend, 'last');
    expect(await names(backend)).toEqual(['ended1', 'ended2', 'ended3', 'ended4', 'last']);
  });

  test('a connection that is lost before COMMIT leaves nothing, and the write is done again', async () => {
    const database = await newDatabase(kind);
    const backend = await migrated(database);
    const far = await open(await brittle(database, /insert into .platform_facts/i, 'before'));
    await note(far, 'once');
    expect(await names(backend)).toEqual(['once']);
  });

  test('a COMMIT whose answer is lost is looked up where the database can say, else it fails; it is never done twice', async () => {
    const database = await newDatabase(kind);
    const backend = await migrated(database);
    const far = await open(await brittle(database, commitStatement, 'after'));
    let runs = 0;
    const write = far.write(undefined, async (db) => {
      runs++;
      await db
        .insertInto('platform_facts')
        .values({ name: `run ${runs}`, value: '', version: 1 })
        .execute();
    });
    if (kind.name === 'postgresql') await write;
    else await expect(write).rejects.toSatisfy((error) => isFault(error, 'unavailable'));
    expect([runs, await names(backend)]).toEqual([1, ['run 1']]);
    await note(far, 'next');
  });

  test('a COMMIT that never arrived is not taken for one that did', async () => {
    const database = await newDatabase(kind);
    const backend = await migrated(database);
    const far = await open(await brittle(database, commitStatement, 'before'));
    const write = note(far, 'once');
    if (kind.name === 'postgresql') await write;
    else await expect(write).rejects.toSatisfy((error) => isFault(error, 'unavailable'));
    expect(await names(backend)).toEqual(kind.name === 'postgresql' ? ['once'] : []);
  });

  test('an error that its function hides still undoes the write', async () => {
    const backend = await migrated(await newDatabase(kind));
    await note(backend, 'taken');
    const write = backend.write(undefined, async (db) => {
      await db.insertInto('platform_facts').values({ name: 'before', value: '', version: 1 }).execute();
      await db
        .insertInto('platform_facts')
        .values({ name: 'taken', value: '', version: 1 })
        .execute()
        .catch(() => {});
    });
    await expect(write).rejects.toSatisfy((error: unknown) => isUniqueViolation(error));
    expect(await names(backend)).toEqual(['taken']);
  });

  test('a migration that fails half-way is done by the next start', async () => {
    const backend = await migrated(await newDatabase(kind));
    let failing = true;
    const later = {
      name: '9999-later',
      async run(db: Parameters<Migration['run']>[0], words: RecordsBackend['columns']) {
        await createTable(db, words, 'later', { columns: { row: 'row', name: 'key' }, unique: [['name']], indexes: [['name']] });
        if (failing) throw new Error('halfway');
      },
    };
    await expect(migrate(backend, clock, { known: [...migrations, later] })).rejects.toThrow('halfway');
    failing = false;
    expect(await migrate(backend, clock, { known: [...migrations, later] })).toEqual(['9999-later']);
    expect(await migrate(backend, clock, { known: [...migrations, later] })).toEqual([]);
  });

  test('a database that holds the tables of somebody else is refused and left as it is', async () => {
    const backend = await open(await newDatabase(kind));
    await backend.exclusively((db) => sql`create table theirs (x integer)`.execute(db));
    await expect(migrate(backend, clock)).rejects.toSatisfy((error) => isFault(error, 'store_foreign'));
    const tables = await backend.read(undefined, (db) => db.introspection.getTables());
    expect(tables.map(({ name }) => name)).toEqual(['theirs']);
  });

  test('a server that does not answer, or refuses us, stops the start with a fault', async () => {
    const database = await newDatabase(kind);
    const nowhere = new URL(database.url);
    nowhere.port = String(await freePort());
    await expect(open({ ...database, url: nowhere.href })).rejects.toSatisfy((error) => isFault(error, 'unavailable'));
    const absent = new URL(database.url);
    absent.pathname = '/gatehouse_absent';
    await expect(open({ ...database, url: absent.href })).rejects.toSatisfy((error) => isFault(error, 'invalid_setting'));
  });
});
