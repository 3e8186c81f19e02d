import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { silentLog, systemClock } from '#kernel';
import { openStore } from '#store';
import { limit, type Row } from '../row.ts';

const runs = 5;
const values = 400;
const bytes = 64 * 1024;

/** How long the loop is held up at most while 25 MB of log are copied and emptied, and writes go on. */
export async function measure(): Promise<readonly Row[]> {
  const home = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  const store = await openStore({ home, ephemera: 'memory', clock: systemClock, log: silentLog });
  await store.migrate();
  const records = store.records.platform('bench');
  const insert = (key: string, size: number) =>
    records.write(({ db }) =>
      db
        .insertInto('sealed_values')
        .values({ key, envelope: Buffer.alloc(size, 1), version: 1 })
        .execute(),
    );
  const longest: number[] = [];
  try {
    for (let run = 0; run < runs; run++) {
      for (let index = 0; index < values; index++) await insert(`${run} ${index}`, bytes);
      const delay = monitorEventLoopDelay({ resolution: 1 });
      delay.enable();
      let ended = false;
      const checkpoint = store.checkpoint().finally(() => {
        ended = true;
      });
      for (let index = 0; !ended; index++) await insert(`${run} during ${index}`, 100);
      await checkpoint;
      delay.disable();
      longest.push(delay.max / 1e6);
    }
  } finally {
    await store.close();
    rmSync(home, { recursive: true, force: true });
  }
  return [limit('longest hold of the loop in a WAL checkpoint of 25 MB', 'ms', longest, '≤ 50')];
}
