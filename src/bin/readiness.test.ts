import { expect, test } from 'vitest';
import { fakeClock } from '#kernel';
import type { Store } from '#store';
import { openTestStore } from '../../test/support/store.ts';
import { createReadiness } from './readiness.ts';

/** The real store, with what one of its parts does replaced. */
async function readinessOf(parts: Partial<Pick<Store, 'ping' | 'schema' | 'sealed'>> = {}) {
  const store = await openTestStore();
  const clock = fakeClock();
  return { readiness: createReadiness({ ...store, ...parts }, clock), clock };
}

const good = { database: 'connected', ephemera: 'connected', sealedStore: 'connected', migrations: 'current' };

test('a server that lacks nothing is ready', async () => {
  const { readiness } = await readinessOf();
  expect(await readiness()).toEqual({ ready: true, ...good });
});

test('what is missing is named by a code of its own, the worst first', async () => {
  const down = () => Promise.reject(new Error('a cause'));
  const sealed = await readinessOf({ sealed: { get: down, put: down, remove: down, list: down } });
  expect(await sealed.readiness()).toEqual({ ready: false, ...good, sealedStore: 'unreachable', reason: 'sealed_store' });
  const all = await readinessOf({ ping: down, schema: down, sealed: { get: down, put: down, remove: down, list: down } });
  expect(await all.readiness()).toMatchObject({ ready: false, migrations: 'unknown', reason: 'database' });
});

test('a schema that lacks a migration is a reason, one of the next release is none', async () => {
  const state = { applied: [], pending: [], newer: [], foreign: [] };
  const pending = await readinessOf({ schema: async () => ({ ...state, pending: ['0002'] }) });
  expect(await pending.readiness()).toMatchObject({ ready: false, migrations: 'pending', reason: 'migrations' });
  const newer = await readinessOf({ schema: async () => ({ ...state, newer: ['0002'] }) });
  expect(await newer.readiness()).toMatchObject({ ready: true, migrations: 'newer' });
});

test('one that hangs is not waited for, nor asked again while it does; the answer holds for a moment', async () => {
  let asked = 0;
  const { readiness, clock } = await readinessOf({
    ping: () => {
      asked++;
      return new Promise(() => {});
    },
  });
  const from = performance.now();
  const [first, second] = await Promise.all([readiness(), readiness()]);
  expect(performance.now() - from).toBeLessThan(4_000);
  expect([first, second]).toEqual([first, first]);
  expect(first).toMatchObject({ ready: false, database: 'unreachable' });
  clock.advance(1_000);
  await readiness();
  expect(asked).toBe(1);
});
