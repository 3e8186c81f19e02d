import { join } from 'node:path';
import { limit, type Row } from '../row.ts';
import { fromSource, root, start } from '../support/child.ts';
import { eventDelays, percentile } from '../support/events.ts';
import { direct, openSite, type Running, type Site, startOurs } from '../support/site.ts';

const rounds = 3;
const events = 500;
/** What else the proxy does meanwhile. */
const load = { tunnels: 16, callsASecond: 500 } as const;

/** How much later an event is read through the proxy than directly, both at the same time. */
export async function measure(): Promise<readonly Row[]> {
  const site = await openSite();
  try {
    const ours = await startOurs(site);
    await added(site, ours, 100);
    const idle = await several(site, ours);
    const caller = join(root, 'bench', 'support', 'caller.ts');
    const parameters = [JSON.stringify(ours.target), String(load.tunnels), String(load.callsASecond)];
    const calling = await start(process.execPath, [...fromSource, caller, ...parameters], /calling/);
    const loaded = await several(site, ours);
    await calling.stop();
    await ours.stop();
    const rows = (of: readonly Added[], at: 'middle' | 'late') => of.map((one) => one[at]);
    return [
      limit('event of a stream, later than direct: p50', 'ms', rows(idle, 'middle'), '< 0.5'),
      limit('event of a stream, later than direct: idle p99', 'ms', rows(idle, 'late'), '< 1'),
      limit(`event of a stream, at ${load.callsASecond} calls/s: p99`, 'ms', rows(loaded, 'late'), '< 3'),
    ];
  } finally {
    await site.close();
  }
}

interface Added {
  readonly middle: number;
  readonly late: number;
}

async function several(site: Site, ours: Running): Promise<readonly Added[]> {
  const all: Added[] = [];
  for (let i = 0; i < rounds; i++) all.push(await added(site, ours, events));
  return all;
}

async function added(site: Site, ours: Running, count: number): Promise<Added> {
  const [through, straight] = await Promise.all([eventDelays(ours.target, count), eventDelays(direct(site), count)]);
  return {
    middle: percentile(through, 0.5) - percentile(straight, 0.5),
    late: percentile(through, 0.99) - percentile(straight, 0.99),
  };
}
