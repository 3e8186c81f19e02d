import { afterEach, expect, test } from 'vitest';
import { type Clock, Fault, type JobId, newId, silentLog } from '#kernel';
import type { Store } from '#store';
import { openTestStore } from '../../test/support/store.ts';
import { createJobs, type JobKind, type Jobs, type JobsDeps, type JobView } from './index.ts';

const opened = new Set<Jobs>();

afterEach(async () => {
  for (const jobs of opened) await jobs.close();
  opened.clear();
});

/** Jobs that look every 10 ms, started. */
function jobsOn(store: Store & { clock: Clock }, kinds: JobsDeps['kinds'], options: Partial<JobsDeps> = {}): Jobs {
  const jobs = createJobs({ records: store.records, clock: store.clock, log: silentLog, kinds, pollEvery: 10, ...options });
  opened.add(jobs);
  jobs.start();
  return jobs;
}

const add = (store: Store, jobs: Jobs, job: Parameters<Jobs['add']>[1]) => store.records.platform('test').write((tx) => jobs.add(tx, job));

async function until<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const end = performance.now() + 10_000;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const inStatus = (jobs: Jobs, id: JobId, status: JobView['status']) =>
  until(async () => {
    const job = await jobs.job(id);
    return job?.status === status ? job : undefined;
  });

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function kind(run: JobKind['run'], more: Partial<JobKind> = {}): JobKind {
  return { kind: 'work', attempts: 3, run, ...more };
}

test('a job that is added runs once, with its payload and organization, and its progress is listed', async () => {
  const store = await openTestStore({ clock: 'system' });
  const seen: unknown[] = [];
  const jobs = jobsOn(store, [
    kind(async ({ payload, organization, progress }) => {
      seen.push([payload, organization]);
      await progress({ done: 1, of: 2 });
    }),
  ]);
  const organization = newId('org');
  const id = await store.records.in(organization).write((tx) => jobs.add(tx, { kind: 'work', organization, payload: { é: 1 } }));
  const job = await inStatus(jobs, id, 'done');
  expect(job).toMatchObject({ id, kind: 'work', attempts: 1, progress: { done: 1, of: 2 }, error: undefined });
  await pause(50);
  expect(seen).toEqual([[{ é: 1 }, organization]]);
  expect(await jobs.job(newId('job'))).toBeUndefined();
});

test('a job does not run if the transaction that added it failed', async () => {
  const store = await openTestStore({ clock: 'system' });
  let ran = 0;
  const jobs = jobsOn(store, [kind(async () => void ran++)]);
  const failing = store.records.platform('test').write(async (tx) => {
    await jobs.add(tx, { kind: 'work' });
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  await pause(60);
  expect(ran).toBe(0);
});

test('a job waits for its time', async () => {
  const store = await openTestStore();
  let ran = 0;
  const jobs = jobsOn(store, [kind(async () => void ran++)]);
  const id = await add(store, jobs, { kind: 'work', runAt: store.clock.now() + 1000 });
  await pause(60);
  expect((await jobs.job(id))?.status).toBe('waiting');
  store.clock.advance(1000);
  await inStatus(jobs, id, 'done');
  expect(ran).toBe(1);
});

test('two processes never run one job at once, and run each exactly once', async () => {
  const store = await openTestStore({ clock: 'system' });
  const other = await openTestStore({ clock: 'system', home: store.home });
  const running = new Set<unknown>();
  const ran: unknown[] = [];
  let overlaps = 0;
  const work = kind(async ({ payload }) => {
    if (running.has(payload)) overlaps += 1;
    running.add(payload);
    await pause(3);
    running.delete(payload);
    ran.push(payload);
  });
  const pair = [jobsOn(store, [work]), jobsOn(other, [work])];
  const numbers = Array.from({ length: 40 }, (_, index) => index);
  await Promise.all(numbers.map((payload) => add(payload % 2 ? store : other, pair[payload % 2] as Jobs, { kind: 'work', payload })));
  await until(() => (ran.length >= numbers.length ? true : undefined));
  await pause(50);
  expect(overlaps).toBe(0);
  expect([...ran].sort((a, b) => Number(a) - Number(b))).toEqual(numbers);
});

test('a job that fails is tried again later, and counts as failed after its last try; only the code is kept', async () => {
  const store = await openTestStore();
  let tries = 0;
  const jobs = jobsOn(store, [
    kind(async () => {
      tries += 1;
      throw tries === 1 ? new Error('a secret in a message') : new Fault('upstream_timeout');
    }),
  ]);
  const id = await add(store, jobs, { kind: 'work' });
  const first = await until(async () => {
    const job = await jobs.job(id);
    return job?.error === undefined ? undefined : job;
  });
  expect(first).toMatchObject({ status: 'waiting', error: 'internal', attempts: 1 });
  expect(first.runAt).toBeGreaterThan(store.clock.now());
  await until(() => {
    store.clock.advance(1000);
    return tries === 3 ? true : undefined;
  });
  expect(await inStatus(jobs, id, 'failed')).toMatchObject({ error: 'upstream_timeout', attempts: 3 });
  store.clock.advance(1_000_000);
  await pause(60);
  expect(tries).toBe(3);
});

test('a key waits once; adding it again makes it sooner, never later, and gives the same job', async () => {
  const store = await openTestStore();
  const jobs = jobsOn(store, []);
  const now = store.clock.now();
  const id = await add(store, jobs, { kind: 'work', uniqueKey: 'k', runAt: now + 1000 });
  expect(await add(store, jobs, { kind: 'work', uniqueKey: 'k', runAt: now + 500 })).toBe(id);
  expect(await add(store, jobs, { kind: 'work', uniqueKey: 'k', runAt: now + 2000 })).toBe(id);
  expect(await add(store, jobs, { kind: 'work', uniqueKey: 'other' })).not.toBe(id);
  expect((await jobs.job(id))?.runAt).toBe(now + 500);
  const together = await Promise.all(Array.from({ length: 20 }, () => add(store, jobs, { kind: 'work', uniqueKey: 'together' })));
  expect(new Set(together).size).toBe(1);
});

test('a key that is added while its job runs makes it run once more, and a key that has ended is free', async () => {
  const store = await openTestStore({ clock: 'system' });
  const gate = Promise.withResolvers<void>();
  let ran = 0;
  const jobs = jobsOn(store, [
    kind(async () => {
      ran += 1;
      if (ran === 1) await gate.promise;
    }),
  ]);
  const id = await add(store, jobs, { kind: 'work', uniqueKey: 'k' });
  await until(() => (ran === 1 ? true : undefined));
  expect(await add(store, jobs, { kind: 'work', uniqueKey: 'k' })).toBe(id);
  gate.resolve();
  await inStatus(jobs, id, 'done');
  expect(ran).toBe(2);
  expect(await add(store, jobs, { kind: 'work', uniqueKey: 'k' })).not.toBe(id);
});

test('a periodic kind runs once per period, however many processes have it', async () => {
  const store = await openTestStore();
  const other = await openTestStore({ clock: store.clock, home: store.home });
  let ran = 0;
  const periodic = kind(async () => void ran++, { every: 60_000 });
  const jobs = jobsOn(store, [periodic]);
  jobsOn(other, [periodic]);
  await until(async () => ((await jobs.list({ kind: 'work', limit: 10 })).items.length === 1 ? true : undefined));
  for (let period = 1; period <= 3; period++) {
    expect(ran).toBe(period - 1);
    await until(async () => ((await jobs.list({ kind: 'work', status: 'waiting', limit: 10 })).items.length === 1 ? true : undefined));
    store.clock.advance(60_000);
    await until(() => (ran === period ? true : undefined));
    await pause(40);
  }
  expect(ran).toBe(3);
  const { items } = await jobs.list({ kind: 'work', limit: 10 });
  expect(items).toMatchObject([{ status: 'waiting', attempts: 0 }]);
});

test('a periodic kind with a pattern runs at its next time in UTC, also after it failed for good', async () => {
  const store = await openTestStore();
  store.clock.set(Date.UTC(2026, 0, 1, 2, 59));
  let ran = 0;
  const jobs = jobsOn(store, [
    kind(
      async () => {
        ran += 1;
        throw new Fault('upstream_timeout');
      },
      { every: '0 3 * * *', attempts: 1 },
    ),
  ]);
  const [row] = await until(async () => {
    const { items } = await jobs.list({ kind: 'work', limit: 1 });
    return items.length === 1 ? items : undefined;
  });
  expect(row?.runAt).toBe(Date.UTC(2026, 0, 1, 3));
  store.clock.set(Date.UTC(2026, 0, 1, 3));
  await until(() => (ran === 1 ? true : undefined));
  const after = await until(async () => {
    const { items } = await jobs.list({ kind: 'work', status: 'waiting', limit: 1 });
    return items[0];
  });
  expect(after).toMatchObject({ error: 'upstream_timeout', runAt: Date.UTC(2026, 0, 2, 3) });
});

test('the job of a process that died is taken over once its lease is over, and not before', async () => {
  const store = await openTestStore();
  let ran = 0;
  const jobs = jobsOn(store, []);
  const id = await add(store, jobs, { kind: 'work' });
  await store.records.platform('test').write(({ db }) =>
    db
      .updateTable('jobs')
      .set({ status: 'running', lease_owner: 'dead', lease_until: store.clock.now() + 30_000, attempts: 1, version: 2 })
      .where('id', '=', id)
      .execute(),
  );
  const alive = jobsOn(store, [kind(async () => void ran++)]);
  await pause(60);
  expect(ran).toBe(0);
  store.clock.advance(30_000);
  await inStatus(alive, id, 'done');
  expect(ran).toBe(1);
});

test('a job whose process died at every try is given up', async () => {
  const store = await openTestStore();
  const jobs = jobsOn(store, [kind(async () => {}, { attempts: 2 })]);
  const id = await store.records.platform('test').write(async (tx) => {
    const added = await jobs.add(tx, { kind: 'work' });
    const dead = { status: 'running' as const, lease_owner: 'dead', lease_until: store.clock.now() - 1, attempts: 2 };
    await tx.db.updateTable('jobs').set(dead).where('id', '=', added).execute();
    return added;
  });
  expect(await inStatus(jobs, id, 'failed')).toMatchObject({ error: 'internal' });
});

test('a lease is renewed while its job runs, and a job that lost it is told to stop and writes nothing', async () => {
  const store = await openTestStore({ clock: 'system' });
  const stopped = Promise.withResolvers<void>();
  const jobs = jobsOn(
    store,
    [
      kind(async ({ signal, progress }) => {
        await pause(250);
        await progress('still ours');
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      }),
    ],
    { lease: 90 },
  );
  const id = await add(store, jobs, { kind: 'work' });
  await until(async () => ((await jobs.job(id))?.progress === 'still ours' ? true : undefined));
  expect(await jobs.cancel(id)).toBe(true);
  expect(await jobs.cancel(id)).toBe(false);
  setTimeout(stopped.resolve, 200);
  await stopped.promise;
  expect((await jobs.job(id))?.status).toBe('cancelled');
  expect(await jobs.cancel(newId('job'))).toBe(false);
});

test('closing stops what runs, which waits again without having used up a try', async () => {
  const store = await openTestStore({ clock: 'system' });
  const begun = Promise.withResolvers<void>();
  const jobs = jobsOn(store, [
    kind(async ({ signal }) => {
      begun.resolve();
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    }),
  ]);
  const id = await add(store, jobs, { kind: 'work' });
  await begun.promise;
  await jobs.close();
  expect(await jobs.job(id)).toMatchObject({ status: 'waiting', attempts: 0 });
});

test('closing does not wait longer than its grace for a job that does not listen', async () => {
  const store = await openTestStore({ clock: 'system' });
  const begun = Promise.withResolvers<void>();
  const never = Promise.withResolvers<void>();
  const jobs = jobsOn(
    store,
    [
      kind(() => {
        begun.resolve();
        return never.promise;
      }),
    ],
    { grace: 50 },
  );
  await add(store, jobs, { kind: 'work' });
  await begun.promise;
  const began = performance.now();
  await jobs.close();
  expect(performance.now() - began).toBeLessThan(2000);
  never.resolve();
});

test('a list goes from new to old, page by page, by status, kind and organization', async () => {
  const store = await openTestStore();
  const jobs = createJobs({ records: store.records, clock: store.clock, log: silentLog, kinds: [] });
  const organization = newId('org');
  const ids: JobId[] = [];
  for (let index = 0; index < 5; index++)
    ids.unshift(await add(store, jobs, { kind: index === 0 ? 'first' : 'work', ...(index < 2 ? { organization } : {}) }));
  const seen: JobId[] = [];
  let cursor: string | undefined;
  do {
    const page = await jobs.list({ limit: 2, ...(cursor === undefined ? {} : { cursor }) });
    seen.push(...page.items.map(({ id }) => id));
    cursor = page.next;
  } while (cursor !== undefined);
  expect(seen).toEqual(ids);
  expect((await jobs.list({ kind: 'first', limit: 10 })).items).toHaveLength(1);
  expect((await jobs.list({ status: 'done', limit: 10 })).items).toHaveLength(0);
  expect((await jobs.list({ organization, limit: 10 })).items).toHaveLength(2);
  for (const bad of ['', '0', '-1', 'x', '1.5', '99999999999999999999'])
    await expect(jobs.list({ cursor: bad, limit: 10 })).rejects.toThrow(Fault);
});

test('ended jobs are kept for a week', async () => {
  const store = await openTestStore();
  const jobs = jobsOn(store, [kind(async () => {})]);
  const id = await add(store, jobs, { kind: 'work' });
  await inStatus(jobs, id, 'done');
  store.clock.advance(8 * 24 * 3_600_000);
  await until(async () => ((await jobs.job(id)) === undefined ? true : undefined));
});

test('kinds may be told at the start, each name once; a kind that is not known here is left alone', async () => {
  const store = await openTestStore({ clock: 'system' });
  let ran = 0;
  const jobs = jobsOn(store, () => [kind(async () => void ran++)]);
  const foreign = await add(store, jobs, { kind: 'foreign' });
  const id = await add(store, jobs, { kind: 'work' });
  await inStatus(jobs, id, 'done');
  expect((await jobs.job(foreign))?.status).toBe('waiting');
  const twice = createJobs({
    records: store.records,
    clock: store.clock,
    log: silentLog,
    kinds: [kind(async () => {}), kind(async () => {})],
  });
  expect(() => twice.start()).toThrow(RangeError);
});
