import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret, silentLog, systemClock } from '#kernel';
import { openStore, type Store, type StoreOptions } from '#store';
import { type Bare, openIoredis, openMysql2, openNodeSqlite, openPg } from './bare.ts';
import { type StateServer, startMariadbIn, startPostgresqlIn, startRedisIn } from './servers.ts';
import type { SqlSteps, Steps } from './steps.ts';

/** A store on one kind of backend, and its driver alone beside it on the same one. */
export interface Backend {
  readonly name: string;
  readonly driver: string;
  readonly store: Store;
  readonly bare: Bare<Steps | SqlSteps>;
  close(): Promise<void>;
}

interface Kind {
  readonly name: string;
  readonly driver: string;
  /** Undefined: it needs none (files), or none is on this machine. */
  readonly start: (folder: string) => Promise<StateServer | undefined>;
  readonly needsServer: boolean;
  readonly place: (url: string) => Partial<StoreOptions>;
  readonly bare: (url: string, home: string) => Promise<Bare<Steps | SqlSteps>>;
}

const schema = 'gatehouse';

const kinds: readonly Kind[] = [
  {
    ...{ name: 'sqlite', driver: 'node:sqlite', needsServer: false },
    start: async () => undefined,
    place: () => ({}),
    bare: (_, home) => openNodeSqlite(home),
  },
  {
    ...{ name: 'postgresql', driver: 'pg', needsServer: true },
    start: startPostgresqlIn,
    place: (url) => ({ database: { url, schema } }),
    bare: (url) => openPg(url, schema),
  },
  {
    ...{ name: 'mariadb', driver: 'mysql2', needsServer: true },
    start: startMariadbIn,
    place: (url) => ({ database: { url, schema } }),
    bare: openMysql2,
  },
  {
    ...{ name: 'redis', driver: 'ioredis', needsServer: true },
    start: startRedisIn,
    place: (url) => ({ ephemera: 'redis', sealed: 'redis', redis: { url: new Secret(url), connectTimeout: 5_000, commandTimeout: 5_000 } }),
    bare: openIoredis,
  },
];

/** Opens a store on every kind of backend that this machine has, one after the other. */
export async function* eachBackend(): AsyncGenerator<Backend> {
  for (const kind of kinds) {
    const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
    // Database servers run as somebody else.
    chmodSync(folder, 0o711);
    const server = await kind.start(folder);
    try {
      if (server === undefined && kind.needsServer) process.stderr.write(`not compared: ${kind.name} is not on this machine\n`);
      else yield await openBackend(kind, server?.url ?? '', join(folder, 'home'));
    } finally {
      await server?.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

async function openBackend({ name, driver, place, bare: openBare }: Kind, url: string, home: string): Promise<Backend> {
  const store = await openStore({ home, ephemera: 'sql', ...place(url), clock: systemClock, log: silentLog });
  await store.migrate();
  const bare = await openBare(url, home);
  return {
    name,
    driver,
    store,
    bare,
    async close() {
      await bare.close();
      await store.close();
    },
  };
}
