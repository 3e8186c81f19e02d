import { randomBytes } from 'node:crypto';
import { newId } from '#kernel';
import type { EventRow } from '../../src/audit/events.sql.ts';
import { compare, type Row } from '../row.ts';
import { type Backend, eachBackend } from '../support/backends.ts';
import { type Chain, hasRecords, type SqlSteps, type Steps, stepsOf } from '../support/steps.ts';

const rounds = 15;
/** Milliseconds: code that is still being compiled is not what a step costs. */
const warming = 500;
/** As a server asks: many callers wait. Writes of one process are in turn anyway. */
const many = { times: 64, atOnce: 16 };
const inTurn = { times: 16, atOnce: 1 };
const lifetime = 600_000;
const value = randomBytes(100).toString('hex');
const envelope = randomBytes(400);

/** One of the two that do the same: ours, or the driver alone. */
interface Side<S extends Steps> {
  readonly steps: S;
  /** Keys of a round, and a chain with as many events as `sequence` says. */
  keys: readonly string[];
  chain: Chain;
  sequence: number;
  readonly taken: number[];
}

/** A step of the store, done once for each key; what `prepare` does is not measured. */
interface Trial<S extends Steps> {
  readonly name: string;
  readonly times: number;
  readonly atOnce: number;
  readonly prepare?: (side: Side<S>, backend: Backend) => Promise<void>;
  readonly run: (side: Side<S>, key: string) => unknown;
}

const putAll = async ({ steps, keys }: Side<Steps>) => {
  await Promise.all(keys.map((key) => steps.put(key, value, lifetime)));
};
const sealOne = async ({ keys: [key = ''] }: Side<Steps>, { store }: Backend) => {
  await store.sealed.put(key, envelope, 0);
};
const sealAll = async ({ keys }: Side<Steps>, { store }: Backend) => {
  for (const key of keys) await store.sealed.put(key, envelope, 0);
};
const beginChain = async ({ chain }: Side<SqlSteps>, { store }: Backend) => {
  const head = { organization_id: chain.organization, writer: chain.writer, sequence: 0, hash: Buffer.alloc(32) };
  await store.records.platform('bench').write(({ db }) => db.insertInto('audit_heads').values(head).execute());
};
const append = (count: number) => (side: Side<SqlSteps>) =>
  side.steps.append(
    side.chain,
    Array.from({ length: count }, () => nextEvent(side)),
  );

const trials: readonly Trial<Steps>[] = [
  { name: 'get', ...many, prepare: putAll, run: ({ steps }, key) => steps.get(key) },
  { name: 'put', ...many, run: ({ steps }, key) => steps.put(key, value, lifetime) },
  { name: 'claim', ...many, run: ({ steps }, key) => steps.claim(key, value, lifetime) },
  { name: 'take', ...many, prepare: putAll, run: ({ steps }, key) => steps.take(key) },
  { name: 'drop', ...many, prepare: putAll, run: ({ steps }, key) => steps.drop(key, value) },
  { name: 'bump', ...many, run: ({ steps }, key) => steps.bump(key, lifetime) },
  { name: 'read sealed', ...many, prepare: sealOne, run: ({ steps, keys: [key = ''] }) => steps.readSealed(key) },
  { name: 'replace sealed', ...inTurn, prepare: sealAll, run: ({ steps }, key) => steps.replaceSealed(key, envelope, 1) },
];
const recordTrials: readonly Trial<SqlSteps>[] = [
  { name: 'read the head of a chain', ...many, prepare: beginChain, run: ({ steps, chain }) => steps.head(chain) },
  { name: 'append 1 event', ...inTurn, prepare: beginChain, run: append(1) },
  { name: 'append 64 events', times: 2, atOnce: 1, prepare: beginChain, run: append(64) },
];

/** Every step of the store on every backend, beside the driver that does the same alone. */
export async function measure(): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for await (const backend of eachBackend()) {
    const { store, bare } = backend;
    const ours = stepsOf(store);
    for (const trial of trials) rows.push(await compareOn(backend, trial, ours, bare));
    if (hasRecords(bare)) for (const trial of recordTrials) rows.push(await compareOn(backend, trial, ours, bare));
    await backend.close();
  }
  return rows;
}

/** Short rounds of both in turn, for what else the machine does must meet both. */
async function compareOn<S extends Steps>(backend: Backend, trial: Trial<S>, ...steps: readonly [S, S]): Promise<Row> {
  const sides = steps.map((one): Side<S> => ({ steps: one, ...newRound(trial.times), taken: [] }));
  const round = async (measured: boolean): Promise<void> => {
    for (const side of sides.reverse()) {
      Object.assign(side, newRound(trial.times));
      await trial.prepare?.(side, backend);
      const each = await cpuOf(trial, side);
      if (measured) side.taken.push(each);
    }
  };
  const [ours, other] = sides.map(({ taken }) => taken) as [number[], number[]];
  for (const warm = performance.now() + warming; performance.now() < warm; ) await round(false);
  for (let at = 0; at < rounds; at++) await round(true);
  return compare({ name: `${backend.name}: ${trial.name}`, unit: 'µs CPU', ours, against: backend.driver, other, budget: '≤ 1.5' });
}

/** Microseconds of this process's CPU for each key. */
async function cpuOf<S extends Steps>({ times, atOnce, run }: Trial<S>, side: Side<S>): Promise<number> {
  let at = 0;
  const one = async (): Promise<void> => {
    while (at < times) await run(side, side.keys[at++] as string);
  };
  const began = process.cpuUsage();
  await Promise.all(Array.from({ length: atOnce }, one));
  const { user, system } = process.cpuUsage(began);
  return (user + system) / times;
}

function newRound(times: number) {
  const keys = Array.from({ length: times }, () => `bench:${randomBytes(32).toString('base64url')}`);
  return { keys, chain: { organization: newId('org'), writer: 'bench' }, sequence: 0 };
}

const body = JSON.stringify({ name: 'call.allowed', detail: randomBytes(250).toString('hex') });

function nextEvent(side: Side<SqlSteps>): EventRow {
  const { organization, writer } = side.chain;
  const party = { subject: `user:${organization}`, actor: `agent:${organization}` };
  const event = { id: newId('evt'), organization_id: organization, writer, sequence: ++side.sequence, at: Date.now() };
  return {
    ...event,
    ...party,
    name: 'call.allowed',
    body_json: body,
    previous_hash: envelope.subarray(0, 32),
    hash: envelope.subarray(0, 32),
  };
}
