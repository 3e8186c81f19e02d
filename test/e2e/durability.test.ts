import { describe, expect } from 'vitest';
import { type Log, silentLog, systemClock } from '#kernel';
import { openStore } from '#store';
import { execute, gatehouse } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { ownKinds, ownServer } from '../support/own-server.ts';
import { temporaryFolder } from '../support/store.ts';

/** Settings of a server that loses nothing, and what each of those that could is called. */
const cases: Readonly<
  Record<
    (typeof ownKinds)[number]['name'],
    { readonly safe: Readonly<Record<string, string>>; readonly weak: Readonly<Record<string, string>> }
  >
> = {
  postgresql: { safe: { fsync: 'on', synchronous_commit: 'on' }, weak: { fsync: 'off', synchronous_commit: 'off' } },
  mariadb: {
    safe: { innodb_flush_log_at_trx_commit: '1', log_bin: 'log', sync_binlog: '1' },
    weak: { innodb_flush_log_at_trx_commit: '2', log_bin: 'log', sync_binlog: '0' },
  },
};

/** The log, as a list of its warnings. */
function heard(): { readonly log: Log; readonly warnings: string[] } {
  const warnings: string[] = [];
  return { log: { ...silentLog, warn: (message) => void warnings.push(message) }, warnings };
}

describe.each(ownKinds)('a crash of the host of $name', (kind) => {
  const test = testWith(...kind.needs);

  /** What the start log and `doctor` say of a server with these settings. */
  async function said(settings: Readonly<Record<string, string>>) {
    const { database } = await ownServer(kind.name, settings);
    const { log, warnings } = heard();
    const store = await openStore({ home: temporaryFolder(), ephemera: 'sql', database, clock: systemClock, log });
    await store.close();
    const home = temporaryFolder();
    const env = {
      PATH: process.env.PATH ?? '',
      HOME: home,
      XDG_RUNTIME_DIR: home,
      GATEHOUSE_HOME: home,
      GATEHOUSE_DATABASE_URL: database.url,
    };
    const { stdout } = await execute([...gatehouse, 'doctor', '--no-runtimes', '--json'], { env, cwd: home });
    const { checks } = JSON.parse(stdout) as { checks: readonly { check: string; result: string; note: string }[] };
    return { warnings, doctor: checks.filter(({ check }) => check === 'database') };
  }

  test('could undo what was done where the server is set so, and both log and doctor name each setting', async () => {
    const { weak } = cases[kind.name];
    const { warnings, doctor } = await said(weak);
    const named = Object.entries(weak)
      .filter(([name]) => name !== 'log_bin')
      .map(([name, value]) => expect.stringMatching(new RegExp(`${name} = ${value},.*accepted again`)));
    expect([...warnings].sort()).toEqual([...named].sort());
    expect(doctor.map(({ note }) => note).sort()).toEqual([...named].sort());
    expect(doctor.every(({ result }) => result === 'bad')).toBe(true);
  }, 60_000);

  test('undoes nothing where it is set well, and nobody warns', async () => {
    expect(await said(cases[kind.name].safe)).toEqual({ warnings: [], doctor: [expect.objectContaining({ result: 'good' })] });
  }, 60_000);
});
