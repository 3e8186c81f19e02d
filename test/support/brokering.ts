import { afterAll } from 'vitest';
import type { Reach } from '#api';
import { type Broker, type BrokerDeps, type Call, createBroker, type LiveRun, type StartedRun, type Verdict } from '#broker';
import type { Connection } from '#connect';
import type { Agent } from '#identity';
import { newId, Secret, silentLog } from '#kernel';
import { createPolicy, type PermissionDraft, type Policy } from '#policy';
import { type Connecting, openConnecting } from './connecting.ts';
import { activeTestAgent, type PeopleOptions, testIssuer, testKeys } from './people.ts';

const closing: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

export const everything: Reach = { classes: [], operations: [], patterns: [], everything: true };

/** The real broker over the real rooms, with an owner, an active agent and a run of it. */
export interface Brokering extends Connecting {
  readonly broker: Broker;
  readonly policy: Policy;
  readonly agent: Agent;
  readonly started: StartedRun;
  readonly run: LiveRun;
  /** Connects an account by key. */
  connectKey(
    provider: string,
    fields: Readonly<Record<string, string>>,
    name?: string,
    from?: 'browser' | 'command_line',
  ): Promise<Connection>;
  permit(connection: Connection, more?: Partial<PermissionDraft>): ReturnType<Policy['give']>;
  /** A call of the run, GET https://api.openai.com/v1/models unless said otherwise. */
  call(more?: Partial<Call>): Call;
  decide(more?: Partial<Call>): Promise<Verdict>;
  startRun(more?: Partial<Parameters<Broker['startRun']>[1]>): Promise<{ readonly started: StartedRun; readonly run: LiveRun }>;
}

export async function openBrokering(
  options: { readonly ports?: readonly number[]; readonly people?: PeopleOptions; readonly broker?: Partial<BrokerDeps> } = {},
): Promise<Brokering> {
  const connecting = await openConnecting(options.ports ?? [], options.people);
  const { people, connect, user, by, write } = connecting;
  const { records, changes } = people.store;
  const policy = createPolicy({ records, changes, audit: people.audit, clock: people.clock, log: silentLog });
  const broker = brokerOver(connecting, policy, options.broker);
  const agent = await activeTestAgent(people, testKeys(), user, 'coder');

  const startRun: Brokering['startRun'] = async (more = {}) => {
    const started = await broker.startRun(agent, { level: 'cooperative', program: 'python', connections: {}, passed: [], ...more });
    return { started, run: await broker.authenticateRun(started.credential.reveal()) };
  };
  const { started, run } = await startRun();
  const call: Brokering['call'] = (more = {}) => ({
    run,
    request: newId('req'),
    scheme: 'https',
    method: 'GET',
    host: 'api.openai.com',
    port: 443,
    path: '/v1/models',
    query: '',
    headers: [['Host', 'api.openai.com']],
    upgrade: undefined,
    ...more,
  });

  return {
    ...connecting,
    broker,
    policy,
    agent,
    started,
    run,
    startRun,
    call,
    decide: (more) => broker.decide(call(more)),
    async connectKey(provider, fields, name = 'default', from = 'browser') {
      const flow = await connect.begin(by, { provider, name, flow: 'api_key', force: false, allow: [] });
      const secrets = Object.fromEntries(Object.entries(fields).map(([part, value]) => [part, new Secret(value)]));
      return (await connect.completeWithKey(by, flow.id, secrets, from)).connection;
    },
    permit: (connection, more = {}) =>
      write((tx) =>
        policy.give(tx, by, {
          effect: 'allow',
          agent: agent.id,
          owner: undefined,
          target: { kind: 'connection', id: connection.id },
          reach: everything,
          level: undefined,
          passCredential: false,
          expiresAt: undefined,
          ...more,
        }),
      ),
  };
}

/** Another broker on the same rooms, as a second process would have. */
export function brokerOver({ people, connect }: Connecting, policy: Policy, more: Partial<BrokerDeps> = {}): Broker {
  const { store, identity, vault, audit, clock } = people;
  const { records, ephemera, changes } = store;
  const rooms = { records, ephemera, changes, identity, vault, policy, connect, audit, clock };
  const broker = createBroker({ ...rooms, log: silentLog, publicUrl: testIssuer, ownHosts: [], otherHosts: 'blind', ...more });
  closing.push(() => broker.close());
  return broker;
}
