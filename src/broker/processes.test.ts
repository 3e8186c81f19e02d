import { describe, expect, test, vi } from 'vitest';
import { createAudit } from '#audit';
import { createConnect, loadCatalogue } from '#connect';
import { createIdentity } from '#identity';
import { type FaultCode, silentLog } from '#kernel';
import { createPolicy } from '#policy';
import { type Brokering, openBrokering } from '../../test/support/brokering.ts';
import { testNet } from '../../test/support/net.ts';
import { testIssuer } from '../../test/support/people.ts';
import { openTestStore } from '../../test/support/store.ts';
import { openTestVault } from '../../test/support/vault.ts';
import { createBroker } from './broker.ts';
import { runQueries } from './runs.sql.ts';
import { brokerSealedColumns } from './sealed.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });
const withinASecond = { timeout: 1_000, interval: 20 };

/** Every room once more, on the same file, as another process would have them. */
async function anotherProcess({ people }: Brokering) {
  const store = await openTestStore({ home: people.store.home, clock: people.clock, ephemera: 'sql' });
  const { records, ephemera, changes } = store;
  const vault = await openTestVault(store, { keyring: people.keyring });
  const audit = createAudit({ records, vault, clock: people.clock, log: silentLog, mode: 'before' });
  const base = { records, ephemera, changes, vault, audit, clock: people.clock, log: silentLog };
  const identity = createIdentity(base);
  const policy = createPolicy(base);
  const connect = createConnect({ ...base, identity, net: testNet([], people.clock), publicUrl: testIssuer, catalogue: loadCatalogue() });
  const broker = createBroker({ ...base, identity, policy, connect, publicUrl: testIssuer, ownHosts: [], otherHosts: 'blind' });
  return { broker, store };
}

async function two() {
  const here = await openBrokering({ people: { store: { ephemera: 'sql' } } });
  const connection = await here.connectKey('openai', { api_key: 'sk-canary-0123456789abcdef' });
  await here.permit(connection);
  const there = await anotherProcess(here);
  const credential = here.started.credential.reveal();
  const run = await there.broker.authenticateRun(credential);
  const decideThere = () => there.broker.decide(here.call({ run }));
  expect(await decideThere()).toMatchObject({ kind: 'allow' });
  return { ...here, there, credential, connection, decideThere };
}

describe('another process learns within a second', () => {
  test('that a run ended', async () => {
    const { broker, agent, started, there, credential } = await two();
    await broker.endRun(agent, started.run, 'exited');
    await vi.waitFor(() => expect(there.broker.authenticateRun(credential)).rejects.toEqual(fault('run_ended')), withinASecond);
  });

  test('that an agent was suspended, and cuts what it had open', async () => {
    const { people, by, agent, there, credential, run } = await two();
    const told: string[] = [];
    there.broker.ended((what, code) => told.push(`${'run' in what ? what.run : what.exchange} ${code}`));
    await people.identity.suspend(by, agent.id);
    await vi.waitFor(() => expect(there.broker.authenticateRun(credential)).rejects.toEqual(fault('agent_not_active')), withinASecond);
    await vi.waitFor(() => expect(told).toContain(`${run.id} agent_not_active`), withinASecond);
  });

  test('that a permission or a connection ended', async () => {
    const { policy, by, write, connect, connection, permit, decideThere } = await two();
    const { items } = await policy.list(by.organization, { limit: 10 });
    for (const one of items) await write((tx) => policy.end(tx, by, one.id));
    await vi.waitFor(async () => expect(await decideThere()).toMatchObject({ kind: 'deny', code: 'policy_denied' }), withinASecond);
    await permit(connection);
    await vi.waitFor(async () => expect(await decideThere()).toMatchObject({ kind: 'allow' }), withinASecond);
    await connect.disconnect(by, connection.id);
    await vi.waitFor(async () => expect(await decideThere()).toMatchObject({ connection: undefined }), withinASecond);
  });
});

test('interception keys and placeholders are among what a rotation seals anew, page by page', async () => {
  const { people, agent, startRun, started } = await openBrokering();
  await startRun();
  const { records } = people.store;
  const [authorities, placeholders] = brokerSealedColumns({ records });
  expect([authorities?.name, placeholders?.name]).toEqual(['authorities.key_envelope', 'runs.placeholders_envelope']);
  const [key] = (await authorities?.list(undefined, 10)) ?? [];
  const [first] = (await placeholders?.list(undefined, 1)) ?? [];
  const [second, none] = (await placeholders?.list(first?.cursor, 2)) ?? [];
  expect(second?.cursor).not.toBe(first?.cursor);
  expect(none).toBeUndefined();
  for (const cell of [key, first, second]) {
    if (!cell) throw new Error('a cell is missing');
    const anew = await people.vault.enclose(cell.label, await people.vault.disclose(cell.label, cell.envelope));
    expect(await cell.update(anew)).toBe(true);
    expect(await cell.update(anew)).toBe(false);
  }
  const row = await runQueries(records).byId(agent.organization, started.run);
  expect(row?.placeholders_envelope).not.toEqual(first?.envelope);
});
