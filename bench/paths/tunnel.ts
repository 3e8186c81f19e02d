import type { Row } from '../row.ts';
import { cpuPerTunnel } from '../support/load.ts';
import { type Rival, relay, row, squidBumping, squidPeeking } from '../support/rivals.ts';
import { openSite, type Running, startOurs } from '../support/site.ts';

const rounds = 5;
const tunnels = 120;
/** Code that is still being compiled is not what a proxy costs. */
const before = 320;

/** Where the upstream keeps the connection, and where it closes it after every answer. */
const cases = [
  { name: 'new tunnel, upstream pooled', path: '/one', budget: 'pooled' },
  { name: 'new tunnel, fresh TLS on both sides', path: '/close', budget: 'fresh' },
] as const;

const rivals: readonly { readonly rival: Rival; readonly pooled: string; readonly fresh: string }[] = [
  { rival: relay, pooled: '≤ 0.9', fresh: '≤ 0.85' },
  { rival: squidPeeking, pooled: '≤ 0.25', fresh: '≤ 0.5' },
  { rival: squidBumping, pooled: '≤ 1.0', fresh: '≤ 1.0' },
];

/** CONNECT, TLS with the client, and one call. */
export async function measure(): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const one of cases) rows.push(...(await measureCase(one)));
  return rows;
}

async function measureCase(one: (typeof cases)[number]): Promise<readonly Row[]> {
  const site = await openSite();
  try {
    const ours = await startOurs(site);
    const others = await Promise.all(rivals.map(({ rival }) => rival.start(site)));
    const rows = await alternate(one, ours, others);
    for (const proxy of [ours, ...others]) await proxy?.stop();
    return rows;
  } finally {
    await site.close();
  }
}

async function alternate({ name, path, budget }: (typeof cases)[number], ours: Running, others: readonly (Running | undefined)[]) {
  const mine: number[] = [];
  const theirs = others.map((): number[] => []);
  for (const proxy of [ours, ...others]) if (proxy) await cpuPerTunnel(proxy, before, path);
  for (let round = 0; round < rounds; round++) {
    mine.push(await cpuPerTunnel(ours, tunnels, path));
    for (const [at, other] of others.entries()) if (other) theirs[at]?.push(await cpuPerTunnel(other, tunnels, path));
  }
  return rivals.map((one, at) => row(name, 'µs CPU', mine, one.rival, others[at] && theirs[at], one[budget]));
}
