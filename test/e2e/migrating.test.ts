import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { systemClock } from '#kernel';
import { migrations } from '../../src/store/migrations/index.ts';
import { statementsFor } from '../support/database-roles.ts';
import { kinds, newDatabase, openOn } from '../support/databases.ts';
import { execute, freePort, gatehouse, type ServerProcess, startServer, until } from '../support/installation.ts';
import { hasProgram, testWith } from '../support/need.ts';
import { must } from '../support/person.ts';
import { openTestStore } from '../support/store.ts';
import { makeWorld, type World } from '../support/world.ts';

type Env = Readonly<Record<string, string>>;

const wouldRun = migrations.map(({ name }) => `would run ${name}\n`).join('');

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const running: ServerProcess[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
});

/** A machine of its own: folders, ports, and the settings that every machine of one installation shares. */
async function machine(settings: Env, shared?: string): Promise<Env> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-fleet-'));
  folders.push(folder);
  for (const name of ['home', 'config', 'runtime']) mkdirSync(join(folder, name), { mode: 0o700 });
  return {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    XDG_CONFIG_HOME: join(shared ?? folder, 'config'),
    XDG_RUNTIME_DIR: join(folder, 'runtime'),
    GATEHOUSE_HOME: join(shared ?? folder, 'home'),
    GATEHOUSE_PORT: String(await freePort()),
    GATEHOUSE_PROXY_PORT: String(await freePort()),
    ...settings,
  };
}

/** What servers on a database server share. */
function sharedSettings({ url, schema }: { readonly url: string; readonly schema: string }): Env {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-shared-'));
  folders.push(folder);
  const key = join(folder, 'master.key');
  writeFileSync(key, randomBytes(32).toString('hex'), { mode: 0o600 });
  return {
    GATEHOUSE_DATABASE_URL: url,
    GATEHOUSE_DATABASE_SCHEMA: schema,
    GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.test',
    GATEHOUSE_MASTER_KEY_FILE: key,
  };
}

async function start(env: Env): Promise<ServerProcess> {
  const server = await startServer(env, env.HOME ?? '');
  running.push(server);
  return server;
}

const command = (env: Env, ...parameters: readonly string[]) => execute([...gatehouse, ...parameters], { env, timeout: 120_000 });

async function ready(env: Env): Promise<Readonly<Record<string, unknown>>> {
  const answer = await fetch(`http://127.0.0.1:${env.GATEHOUSE_PORT}/health/ready`);
  return { status: answer.status, ...((await answer.json()) as object) };
}

const crowd = 10;

/** Starts ten servers at once and looks at what they made together. */
async function tenAtOnce(envs: readonly Env[], open: () => ReturnType<typeof openOn>): Promise<void> {
  const servers = await Promise.all(envs.map(start));
  const said = servers.map((server) => server.output());
  const count = (what: RegExp) => said.filter((text) => what.test(text)).length;
  expect(count(/\/setup\?token=|the set-up link is in a file/)).toBe(1);
  expect(count(/migrating the database/)).toBe(1);
  expect(said.join('').match(/"msg":"migrated"/g)).toHaveLength(migrations.length);
  expect(count(/"ms":\d+,"msg":"the database is up to date"/)).toBe(1);
  const store = await open();
  const rows = await store.records.platform('test').read(async ({ db }) => ({
    migrations: await db.selectFrom('migrations').select('name').execute(),
    keys: await db.selectFrom('data_keys').select('scope').execute(),
    marks: await db.selectFrom('master_key_marks').select('id').execute(),
    organizations: await db.selectFrom('organizations').select('id').execute(),
  }));
  const scopes = rows.keys.map(({ scope }) => scope);
  expect(new Set(scopes).size).toBe(scopes.length);
  expect([rows.migrations.length, rows.marks.length, rows.organizations.length]).toEqual([migrations.length, 1, 1]);
  await store.close();
}

describe('ten servers that start at once on an empty database', () => {
  testWith()(
    'on SQLite, make one schema, one set of data keys and one set-up link',
    async () => {
      const shared = mkdtempSync(join(tmpdir(), 'gatehouse-shared-'));
      folders.push(shared);
      for (const name of ['home', 'config']) mkdirSync(join(shared, name), { mode: 0o700 });
      const envs = await Promise.all(Array.from({ length: crowd }, () => machine({}, shared)));
      await tenAtOnce(envs, () => openTestStore({ home: join(shared, 'home'), ephemera: 'sql', clock: systemClock }));
    },
    300_000,
  );

  describe.each(kinds)('on $name', (kind) => {
    testWith(...kind.needs)(
      'make one schema, one set of data keys and one set-up link',
      async () => {
        const database = await newDatabase(kind);
        const settings = sharedSettings(database);
        const envs = await Promise.all(Array.from({ length: crowd }, () => machine(settings)));
        await tenAtOnce(envs, () => openOn(database, systemClock));
      },
      300_000,
    );
  });
});

describe.each(kinds)('two roles on $name, with the rights that docs/databases.md gives them', (kind) => {
  testWith(...kind.needs)(
    'serve does not touch the schema, names the command that does, and starts after it',
    async () => {
      const { owner, user, schema } = await statementsFor(kind);
      const settings = sharedSettings({ url: user, schema });
      const env = await machine({ ...settings, GATEHOUSE_MIGRATE: 'off' });
      const early = await command(env, 'serve');
      expect([early.code, early.stderr]).toEqual([1, expect.stringContaining('gatehouse migrate')]);
      expect(await command({ ...env, GATEHOUSE_MIGRATE: 'auto' }, 'serve')).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('lacks a right'),
      });
      const asOwner = { ...env, GATEHOUSE_MIGRATE_DATABASE_URL: owner };
      expect(must(await command(asOwner, 'migrate', '--dry-run')).stdout).toBe(wouldRun);
      expect(JSON.parse(must(await command(env, 'migrate', 'status', '--json')).stdout)).toMatchObject({
        applied: [],
        pending: migrations.map(({ name }) => name),
      });
      const migrated = must(await command(asOwner, 'migrate'));
      expect(migrated.stdout).toBe(`migrated: ${migrations.map(({ name }) => name).join(', ')}\n`);
      expect(migrated.stderr).toMatch(
        /^migrating the database migrations=\d+\n(migrated migration=\d{4}-[a-z]+ ms=\d+\n)+the database is up to date/,
      );
      expect(must(await command(env, 'migrate', 'status')).stdout).toMatch(/^0001-first +applied +20\d\d-/m);
      expect(must(await command(asOwner, 'migrate')).stdout).toBe('the database was up to date\n');
      await start(env);
      expect(await ready(env)).toMatchObject({ status: 'ready' });
      // Where nothing is to be done, the right to do it is not needed.
      await start(await machine(settings));
    },
    300_000,
  );

  testWith(...kind.needs)(
    'a start migrates as the owner, where that is named',
    async () => {
      const { owner, user, schema } = await statementsFor(kind);
      await start(await machine({ ...sharedSettings({ url: user, schema }), GATEHOUSE_MIGRATE_DATABASE_URL: owner }));
    },
    300_000,
  );
});

describe('gatehouse migrate', () => {
  testWith()(
    'makes an empty store, lets itself in beside another program only when told, and changes nothing in a dry run',
    async () => {
      const env = await machine({});
      const file = join(env.GATEHOUSE_HOME ?? '', 'gatehouse.db');
      expect(must(await command(env, 'migrate', '--dry-run')).stdout).toBe(wouldRun);
      expect(existsSync(file)).toBe(false);
      const theirs = new DatabaseSync(file);
      theirs.exec('create table theirs (x integer)');
      theirs.close();
      const refused = await command(env, 'migrate');
      expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('--into-existing')]);
      expect(must(await command(env, 'migrate', '--dry-run')).stderr).toContain('tables of another program: theirs');
      expect(must(await command(env, 'migrate', '--into-existing', '--json')).stdout).toContain('"0001-first"');
      const newer = new DatabaseSync(file);
      newer.exec("insert into migrations (name, applied_at) values ('9999-later', 0)");
      newer.close();
      expect(must(await command(env, 'migrate', 'status')).stdout).toMatch(/^9999-later +of a newer Gatehouse/m);
      for (const parameters of [['migrate'], ['migrate', '--dry-run'], ['serve']])
        expect(await command(env, ...parameters)).toMatchObject({ code: 1, stderr: expect.stringContaining('newer Gatehouse') });
      expect(await command(env, 'migrate', 'nothing')).toMatchObject({ code: 1 });
    },
    300_000,
  );
});

const places = [{ name: 'sqlite' as const, needs: [] }, ...kinds];

describe.each(places)('two releases side by side on $name', (place) => {
  const test = testWith(...place.needs);
  let world: World;
  let next: ServerProcess;

  beforeAll(async () => {
    if (!place.needs.every(hasProgram)) return;
    const kind = kinds.find(({ name }) => name === place.name);
    const database = kind === undefined ? undefined : await newDatabase(kind);
    const port = await freePort();
    world = await makeWorld({
      env(authority, folder) {
        if (database === undefined) return {};
        const issued = authority.issue('gatehouse.example.test');
        const file = (name: string, text: string) => {
          writeFileSync(join(folder, name), text, { mode: 0o600 });
          return join(folder, name);
        };
        return {
          GATEHOUSE_DATABASE_URL: database.url,
          GATEHOUSE_DATABASE_SCHEMA: database.schema,
          GATEHOUSE_PORT: String(port),
          GATEHOUSE_PUBLIC_URL: `https://gatehouse.example.test:${port}`,
          GATEHOUSE_MASTER_KEY_FILE: file('master.key', randomBytes(32).toString('hex')),
          GATEHOUSE_TLS_CERT: file('tls.crt', issued.cert),
          GATEHOUSE_TLS_KEY: file('tls.key', issued.key),
        };
      },
    });
  }, 120_000);
  afterAll(async () => {
    await next?.stop();
    await world?.close();
  });

  test('the server of this release serves on while one of the next migrates and serves beside it', async () => {
    const [first, last] = [join(world.folder, 'first-call'), join(world.folder, 'last-call')];
    const script = `
      const { existsSync, writeFileSync } = require('node:fs');
      const call = () => fetch('${world.api}/echo?going').then((a) => a.status, (e) => String(e.cause ?? e)).then((status) => {
        console.log(status);
        writeFileSync('${first}', '');
        if (!existsSync('${last}')) setTimeout(call, 10);
      });
      call();`;
    const going = world.run([process.execPath, '-e', script], { timeout: 240_000 });
    await until(() => existsSync(first), 60_000);
    const own = await machine({});
    const env = { ...world.site.env, XDG_RUNTIME_DIR: own.XDG_RUNTIME_DIR ?? '', GATEHOUSE_PORT: own.GATEHOUSE_PORT ?? '' };
    const more = {
      GATEHOUSE_PROXY_PORT: own.GATEHOUSE_PROXY_PORT ?? '',
      GATEHOUSE_PUBLIC_URL: world.site.env.GATEHOUSE_PUBLIC_URL ?? world.site.url,
    };
    const preload = `--import=${join(import.meta.dirname, '..', 'support', 'next-release.mjs')}`;
    next = await startServer({ ...env, ...more, NODE_OPTIONS: preload }, world.folder);
    expect(next.output()).toMatch(/"migration":"0999-next"/);
    const script2 = `fetch('${world.api}/echo?next').then((a) => console.log(a.status))`;
    const beside = await world.run([process.execPath, '-e', script2], { env: { XDG_RUNTIME_DIR: own.XDG_RUNTIME_DIR ?? '' } });
    expect(beside).toMatchObject({ code: 0, stdout: '200\n' });
    writeFileSync(last, '');
    const statuses = (await going).stdout.trim().split('\n');
    expect(new Set(statuses)).toEqual(new Set(['200']));
    expect(statuses.length).toBeGreaterThan(20);
    // A server of this release that starts anew finds a newer database, and leaves it alone.
    const again = await world.site.command(['migrate']);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('newer Gatehouse')]);
    expect(readFileSync(join(import.meta.dirname, '..', '..', 'src', 'store', 'migrations', 'index.ts'), 'utf8')).not.toContain(
      '0999-next',
    );
  }, 300_000);
});
