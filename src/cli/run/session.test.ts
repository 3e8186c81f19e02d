import { expect, test, vi } from 'vitest';
import type { Client } from '#api';
import { Fault } from '#kernel';
import { startRunSession } from './session.ts';

type Calls = Readonly<Record<string, () => Promise<unknown>>>;

/** A client that answers by route; what was called is kept. */
function scripted(calls: Calls) {
  const called: string[] = [];
  const call = async (name: string) => {
    called.push(name);
    const answer = calls[name];
    if (answer === undefined) throw new Fault('internal');
    return answer();
  };
  return { called, client: { call, ask: call } as unknown as Client };
}

const now = () => 1_000_000;
const started = (run: string) => ({
  run,
  credential: `credential of ${run}`,
  credential_expires_at: now() + 300_000,
  authority_pem: '',
  variables: {},
  connections: [],
  warnings: [],
});
const request = { level: 'cooperative' as const, program: 'x', connections: {}, passed: [] };

test('a renewal gives the same run a new credential; callers at once share it', async () => {
  const { client, called } = scripted({
    run_start: async () => started('run_1'),
    run_renew: async () => ({ credential: 'renewed', credential_expires_at: now() + 300_000 }),
    run_end: async () => ({}),
  });
  const session = await startRunSession({ agent: client, request, now, onNewRun: () => undefined });
  expect(await Promise.all([session.renew(), session.renew(), session.renew()])).toEqual([true, true, true]);
  expect(session.credential()).toBe('renewed');
  expect(await session.renew()).toBe(false);
  await session.end('exited');
  expect(called).toEqual(['run_start', 'run_renew', 'run_end']);
});

test('a run that the server no longer knows is started anew, and that is said', async () => {
  let count = 0;
  const { client } = scripted({
    run_start: async () => started(`run_${++count}`),
    run_renew: async () => {
      throw new Fault('run_ended');
    },
    run_end: async () => ({}),
  });
  const told: string[] = [];
  const session = await startRunSession({ agent: client, request, now, onNewRun: (run) => told.push(run.run) });
  expect(await session.renew()).toBe(true);
  expect([told, session.credential()]).toEqual([['run_2'], 'credential of run_2']);
  await session.end('exited');
});

test('a server that is away is asked again; a refusal gives no credential', async () => {
  vi.useFakeTimers();
  try {
    let away = true;
    const { client, called } = scripted({
      run_start: async () => started('run_1'),
      run_renew: async () => {
        if (away) throw new Fault('server_unreachable');
        return { credential: 'renewed', credential_expires_at: now() + 300_000 };
      },
      run_end: async () => {
        throw new Fault('server_unreachable');
      },
    });
    const session = await startRunSession({ agent: client, request, now, onNewRun: () => undefined });
    await vi.advanceTimersByTimeAsync(150_000);
    expect(called.filter((name) => name === 'run_renew')).toHaveLength(1);
    away = false;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(session.credential()).toBe('renewed');
    await session.end('exited');
    expect(await session.renew()).toBe(false);
  } finally {
    vi.useRealTimers();
  }
});
