import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { createAudit } from '#audit';
import { createConnect, loadCatalogue } from '#connect';
import { createIdentity } from '#identity';
import { newId, type Principal, Secret, silentLog, systemClock } from '#kernel';
import { createVault, generateMasterKey, keyringOf, parseMasterKey } from '#vault';
import { connectByCode, localDefinition, type ScriptedProvider, startScriptedProvider } from '../support/connecting.ts';
import { long } from '../support/need.ts';
import { testNet } from '../support/net.ts';
import { testIssuer } from '../support/people.ts';
import { openTestStore } from '../support/store.ts';

const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** A provider whose refresh tokens are good once: using one again ends its family. Tokens live a second. */
class RotatingProvider {
  readonly families = new Map<string, { current: number; ended: boolean }>();
  refreshes = 0;
  slowness = 0;
  server: ScriptedProvider | undefined;

  async start(): Promise<ScriptedProvider> {
    this.server = await startScriptedProvider(async ({ parameters }) => {
      if (parameters.grant_type === 'authorization_code') return this.issue(this.begin());
      await sleep(Math.random() * this.slowness);
      return { ...this.refresh(parameters.refresh_token ?? ''), after: Math.random() * this.slowness };
    });
    return this.server;
  }

  begin(): string {
    const family = `f${this.families.size}`;
    this.families.set(family, { current: 0, ended: false });
    return family;
  }

  refresh(token: string) {
    this.refreshes++;
    const [, family = '', number] = token.split('-');
    const known = this.families.get(family);
    if (known === undefined || known.ended || Number(number) !== known.current) {
      if (known !== undefined) known.ended = true;
      return { status: 400, body: { error: 'invalid_grant' } };
    }
    known.current++;
    return this.issue(family);
  }

  issue(family: string) {
    const { current } = this.families.get(family) ?? { current: -1 };
    return {
      body: { access_token: `at-${family}-${current}`, refresh_token: `rt-${family}-${current}`, expires_in: current === 0 ? 1 : 3600 },
    };
  }

  /** Whether the provider would take this access token now. */
  takes(token: string): boolean {
    const [, family = '', number] = token.split('-');
    const known = this.families.get(family);
    return known !== undefined && !known.ended && Number(number) === known.current;
  }
}

/** One installation, and `count` connections of it whose tokens end after a second. */
async function standing(count: number) {
  const provider = new RotatingProvider();
  const server = await provider.start();
  const store = await openTestStore({ clock: systemClock, ephemera: 'sql' });
  const { records, ephemera, changes, sealed, clock } = store;
  const key = generateMasterKey();
  const log = silentLog;
  const vault = await createVault({ records, sealed, changes, clock, log, keyring: keyringOf([parseMasterKey(new Secret(key), true)]) });
  const audit = createAudit({ records, vault, clock, log, mode: 'before' });
  const identity = createIdentity({ records, ephemera, changes, vault, audit, clock, log });
  const { id: organization } = await identity.ensureDefaultOrganization(testIssuer);
  const by: Principal = { organization, subject: { kind: 'operator' }, actors: [] };
  const net = testNet([server.port], clock);
  const connect = createConnect({
    records,
    ephemera,
    changes,
    identity,
    vault,
    audit,
    net,
    clock,
    log,
    publicUrl: testIssuer,
    catalogue: loadCatalogue(),
  });
  await records.in(organization).write((tx) => connect.registerProvider(tx, by, localDefinition(server.origin)));
  const connections = [];
  for (let at = 0; at < count; at++) {
    const made = await connectByCode({ connect, people: { store }, by, session: newId('ses') }, { name: `c${at}` });
    connections.push(made.connection);
  }
  const start = (ids: readonly string[], asks: number) =>
    startRefresher([store.home, key, String(server.port), ids.join(','), String(asks)]);
  return { provider, connect, by, connections, audit, organization, start };
}

async function startRefresher(parameters: readonly string[]) {
  const script = join(import.meta.dirname, '..', 'support', 'refresher.ts');
  const options = ['--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning', script];
  const child = spawn(process.execPath, [...options, ...parameters], { stdio: ['pipe', 'pipe', 'inherit'] });
  children.add(child);
  const exited = once(child, 'exit').finally(() => children.delete(child));
  let output = '';
  const ready = Promise.withResolvers<void>();
  child.stdout.on('data', (part) => {
    output += part;
    if (output.includes('ready\n')) ready.resolve();
  });
  await Promise.race([ready.promise, exited]);
  return {
    go: () => child.stdin.write('go\n'),
    kill: () => child.kill('SIGKILL'),
    exited,
    async said(): Promise<Readonly<Record<string, string>>> {
      await exited;
      return JSON.parse(output.split('\n')[1] ?? '') as Record<string, string>;
    },
  };
}

describe('two processes on one SQLite file', () => {
  test('refresh an expired connection exactly once for 200 calls at once', async () => {
    const { provider, connections, start } = await standing(1);
    provider.slowness = 100;
    const ids = connections.map((one) => one.id);
    const two = await Promise.all([start(ids, 100), start(ids, 100)]);
    await sleep(1_100);
    for (const one of two) one.go();
    const said = await Promise.all(two.map((one) => one.said()));
    expect(said.map((one) => Object.values(one))).toEqual([['at-f0-1'], ['at-f0-1']]);
    expect(provider.refreshes).toBe(1);
  }, 60_000);
});

const kills = long ? 50 : 8;

describe('a process that is killed in the middle of a rotating refresh', () => {
  test(`${kills} times, never loses a connection silently`, async () => {
    const { provider, connect, by, connections, audit, organization, start } = await standing(kills);
    provider.slowness = 150;
    await sleep(1_100);
    for (let at = 0; at < connections.length; at += 4) {
      const batch = await Promise.all(connections.slice(at, at + 4).map((one) => start([one.id], 3)));
      for (const one of batch) one.go();
      await Promise.all(batch.map((one) => sleep(Math.random() * 350).then(one.kill)));
      await Promise.all(batch.map((one) => one.exited));
    }
    await sleep(15_500);
    const after = await start(
      connections.map((one) => one.id),
      3,
    );
    after.go();
    const said = await after.said();
    const events = await audit.search(organization, { name: 'connection.needs_attention', limit: 200 });
    for (const { id } of connections) {
      const status = (await connect.connection(by.organization, id))?.status.kind;
      if (status === 'connected') expect(provider.takes(said[id] ?? ''), `${id}: ${said[id]}`).toBe(true);
      else {
        expect([status, said[id]]).toEqual(['needs_attention', 'needs_attention']);
        expect(events.events.some((event) => event.connection === id)).toBe(true);
      }
    }
  }, 240_000);
});
