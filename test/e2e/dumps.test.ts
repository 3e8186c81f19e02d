import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { silentLog, systemClock } from '#kernel';
import { copyDatabase, type DatabasePlace, endPause, openStore } from '#store';
import { kinds, newDatabase } from '../support/databases.ts';
import { type Filled, openAll, openFilled } from '../support/filled.ts';
import { execute, gatehouse } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { must } from '../support/person.ts';
import { temporaryFolder } from '../support/store.ts';

/** The commands of the page, as they stand. */
function recipe(name: string): string {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'backups.md'), 'utf8');
  const block = new RegExp(`\`\`\`sh ${name}\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1];
  if (block === undefined) throw new Error(`the page has no commands for ${name}`);
  return block;
}

async function opened<T>(
  database: DatabasePlace['database'],
  work: (store: Awaited<ReturnType<typeof openStore>>) => Promise<T>,
): Promise<T> {
  const store = await openStore({
    home: temporaryFolder(),
    ...(database === undefined ? {} : { database }),
    ephemera: 'memory',
    clock: systemClock,
    log: silentLog,
  });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** An installation on a database server, as if it had always been there. */
async function served(filled: Filled, database: NonNullable<DatabasePlace['database']>): Promise<void> {
  await copyDatabase({ from: { home: filled.people.store.home }, to: { home: '', database }, clock: systemClock });
  await opened(database, (store) => store.records.platform('test').write(endPause));
}

/** Runs the commands in a folder in which `gatehouse` is a command. */
async function follow(filled: Filled, name: string, folder: string, env: Readonly<Record<string, string>>): Promise<void> {
  const command = join(folder, 'gatehouse');
  writeFileSync(command, `#!/bin/sh\nexec ${gatehouse.map((part) => `'${part}'`).join(' ')} "$@"\n`);
  chmodSync(command, 0o755);
  const key = join(folder, 'master.key');
  writeFileSync(key, filled.people.keyring.current().key.export().toString('hex'), { mode: 0o600 });
  const server = {
    GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.test',
    GATEHOUSE_MASTER_KEY_FILE: key,
    GATEHOUSE_HOME: join(folder, 'home'),
  };
  const all = { PATH: `${folder}:${process.env.PATH}`, HOME: folder, ...server, ...env };
  must(await execute(['sh', '-eu', '-c', recipe(name)], { env: all, cwd: folder, timeout: 120_000 }));
}

async function expectRestored(filled: Filled, database: NonNullable<DatabasePlace['database']>): Promise<void> {
  await opened(database, async (store) => {
    expect(await store.standing()).toMatchObject({ state: 'paused', by: 'operator' });
    expect(await openAll(filled, store)).toBe(filled.count);
  });
}

const [postgresql, mariadb] = kinds;

testWith('pg_dump', 'pg_restore', ...(postgresql?.needs ?? []))(
  'what pg_dump wrote, as the page says, is restored paused, and every connection opens',
  async () => {
    if (postgresql === undefined) throw new Error('no PostgreSQL');
    const filled = await openFilled(120);
    const database = await newDatabase(postgresql);
    await served(filled, database);
    const target = new URL(database.url);
    target.pathname = `/${database.schema}`;
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(`create database ${database.schema} template template0 encoding 'UTF8'`);
    await client.end();
    await follow(filled, 'pg_dump', temporaryFolder(), {
      GATEHOUSE_DATABASE_URL: database.url,
      GATEHOUSE_DATABASE_SCHEMA: database.schema,
      NEW_DATABASE_URL: target.href,
    });
    await expectRestored(filled, { url: target.href, schema: database.schema });
  },
  120_000,
);

testWith('mysqldump', 'mysql', ...(mariadb?.needs ?? []))(
  'what mysqldump wrote, as the page says, is restored paused, and every connection opens',
  async () => {
    if (mariadb === undefined) throw new Error('no MariaDB');
    const filled = await openFilled(120);
    const [database, target] = [await newDatabase(mariadb), await newDatabase(mariadb)];
    await served(filled, database);
    const { hostname, port, username, password } = new URL(database.url);
    const folder = temporaryFolder();
    const options = [`host=${hostname}`, `port=${port}`, `user=${username}`, `password=${password}`];
    writeFileSync(join(folder, 'client.cnf'), `[client]\n${options.join('\n')}\n`, { mode: 0o600 });
    await follow(filled, 'mysqldump', folder, {
      DATABASE: new URL(database.url).pathname.slice(1),
      NEW_DATABASE: new URL(target.url).pathname.slice(1),
      NEW_DATABASE_URL: target.url,
    });
    await expectRestored(filled, target);
  },
  120_000,
);
