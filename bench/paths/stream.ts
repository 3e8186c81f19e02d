import { limit, type Row } from '../row.ts';
import { residentMegabytes } from '../support/cpu.ts';
import { openSite, type Running, startOurs } from '../support/site.ts';
import { callInTurn, openTunnel } from '../support/tunnel.ts';

const rounds = 3;
const megabyte = 1_000_000;

/** How far resident memory rises while 100 MB pass. */
export async function measure(): Promise<readonly Row[]> {
  const site = await openSite();
  try {
    const ours = await startOurs(site);
    await pass(ours, 10);
    const grown: number[] = [];
    for (let i = 0; i < rounds; i++) grown.push(await pass(ours, 100));
    await ours.stop();
    return [limit('100 MB stream: memory it takes', 'MB', grown, '≤ 20')];
  } finally {
    await site.close();
  }
}

/** Megabytes between the memory before and the most of it meanwhile. */
async function pass(ours: Running, megabytes: number): Promise<number> {
  const before = residentMegabytes(ours.pid);
  let most = before;
  const looking = setInterval(() => {
    most = Math.max(most, residentMegabytes(ours.pid));
  }, 5);
  const tunnel = await openTunnel(ours.target);
  await callInTurn(tunnel, ours.target, 1, `/bytes/${megabytes * megabyte}`);
  tunnel.destroy();
  clearInterval(looking);
  return most - before;
}
