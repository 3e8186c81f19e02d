import type { Row } from '../row.ts';
import { openLoad } from '../support/load.ts';
import { mitmproxy, type Rival, relay, row, squidPeeking } from '../support/rivals.ts';
import { openSite, type Running, startOurs } from '../support/site.ts';

/** Calls of one round, about half a second of CPU; mitmproxy needs fewer for that. */
const counts = { 64: { many: 6_400, few: 320 }, 1: { many: 1_500, few: 150 } } as const;
const rounds = 3;

const rivals: readonly { readonly rival: Rival; readonly budgets: Readonly<Record<64 | 1, string>> }[] = [
  { rival: relay, budgets: { 64: '≤ 0.5', 1: '≤ 0.75' } },
  { rival: squidPeeking, budgets: { 64: '≤ 0.8', 1: '≤ 0.95' } },
  { rival: mitmproxy, budgets: { 64: '≤ 0.0667', 1: '≤ 0.0667' } },
];

/** A kept-alive 1 KB HTTPS call with identity, policy, injection, scrubbing and the durable record. */
export async function measure(): Promise<readonly Row[]> {
  const site = await openSite();
  try {
    const ours = await startOurs(site);
    const others = await Promise.all(rivals.map(({ rival }) => rival.start(site)));
    const rows: Row[] = [];
    for (const inFlight of [64, 1] as const) rows.push(...(await alternate(inFlight, ours, others)));
    for (const one of [ours, ...others]) await one?.stop();
    return rows;
  } finally {
    await site.close();
  }
}

async function alternate(inFlight: 64 | 1, ours: Running, others: readonly (Running | undefined)[]): Promise<readonly Row[]> {
  const mine: number[] = [];
  const theirs = others.map((): number[] => []);
  const { many, few } = counts[inFlight];
  const countFor = (at: number) => (rivals[at]?.rival === mitmproxy ? few : many);
  const loads = await Promise.all(others.map((other) => other && openLoad(other, inFlight)));
  const load = await openLoad(ours, inFlight);
  await load.measure(many);
  for (const [at, other] of loads.entries()) await other?.measure(countFor(at));
  for (let round = 0; round < rounds; round++) {
    mine.push(await load.measure(many));
    for (const [at, other] of loads.entries()) {
      if (other) theirs[at]?.push(await other.measure(countFor(at)));
    }
  }
  for (const one of [load, ...loads]) one?.close();
  const name = `proxied call, ${inFlight} in flight`;
  return rivals.map(({ rival, budgets }, at) => row(name, 'µs CPU', mine, rival, others[at] && theirs[at], budgets[inFlight]));
}
