import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { newId, Secret, silentLog, systemClock } from '#kernel';
import { bearerKey, ephemeraKey, openStore, type Store } from '#store';
import { keyOf } from '../../src/vault/place.ts';
import { compare, type Row } from '../row.ts';
import { startClusterIn } from '../support/servers.ts';

/** By chance alone a node has 0.8 % more or less than its share of so many. */
const keys = 30_000;
const atOnce = 300;
const organization = newId('org');
const envelope = randomBytes(40);

/** What is kept, under keys as the rooms make them. */
const families: Readonly<Record<string, (store: Store, at: number) => Promise<unknown>>> = {
  ephemera: ({ ephemera }, at) => ephemera.put(ephemeraKeys[at % ephemeraKeys.length]?.() ?? '', 'held', 600_000),
  'sealed values': ({ sealed }, at) => {
    const place = {
      organization,
      vault: newId('vlt'),
      provider: at % 2 === 0 ? 'github' : 'slack',
      kind: 'connection',
      name: 'default',
    } as const;
    return sealed.put(keyOf(place), envelope, 0);
  },
};
const ephemeraKeys = [
  () => bearerKey('run_credential', randomBytes(16).toString('base64url')),
  () => ephemeraKey('proof_replay', organization, `did:key:z${randomBytes(32).toString('hex')}`, randomBytes(16).toString('base64url')),
  () => ephemeraKey('rate', 'refresh', newId('con')),
  () => ephemeraKey('lease', 'refresh', newId('con')),
];

/** How far the fullest and the emptiest of three nodes are from an even share. */
export async function measure(): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  const cluster = await startClusterIn(folder);
  if (cluster === undefined) {
    process.stderr.write('not compared: redis-server and redis-cli are not on this machine\n');
    return [];
  }
  const redis = { url: new Secret(cluster.url), connectTimeout: 5_000, commandTimeout: 5_000 };
  const places = { home: join(folder, 'home'), ephemera: 'redis', sealed: 'redis', redis } as const;
  const store = await openStore({ ...places, clock: systemClock, log: silentLog });
  try {
    await store.migrate();
    const rows: Row[] = [];
    for (const [name, keep] of Object.entries(families)) {
      const before = await sizesOf(cluster.ports);
      for (let at = 0; at < keys; at += atOnce) await Promise.all(Array.from({ length: atOnce }, (_, i) => keep(store, at + i)));
      const after = await sizesOf(cluster.ports);
      rows.push(
        ...rowsOf(
          name,
          after.map((size, node) => size - (before[node] ?? 0)),
        ),
      );
    }
    return rows;
  } finally {
    await store.close();
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function rowsOf(name: string, sizes: readonly number[]): readonly Row[] {
  const row = (which: string, size: number, budget: string) => {
    const even = [keys / sizes.length];
    return compare({
      name: `cluster: ${name} of the ${which} node`,
      unit: 'keys',
      ours: [size],
      against: 'even share',
      other: even,
      budget,
    });
  };
  return [row('fullest', Math.max(...sizes), '≤ 1.05'), row('emptiest', Math.min(...sizes), '≥ 0.95')];
}

async function sizesOf(ports: readonly number[]): Promise<readonly number[]> {
  const nodes = ports.map((port) => new Redis(port, '127.0.0.1'));
  try {
    return await Promise.all(nodes.map((node) => node.dbsize()));
  } finally {
    for (const node of nodes) node.disconnect();
  }
}
