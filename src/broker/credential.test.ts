import { describe, expect, test, vi } from 'vitest';
import type { FaultCode } from '#kernel';
import { everything, openBrokering } from '../../test/support/brokering.ts';
import { connectByCode, localDefinition, type Script, startScriptedProvider } from '../../test/support/connecting.ts';
import type { Allowed, Call, Verdict } from './contract.ts';

const hour = 3_600_000;

/** Tokens canary-0, canary-1, … that live an hour. */
const rotating: Script = (_, count) => ({
  body: { access_token: `canary-${count - 1}`, refresh_token: `refresh-${count - 1}`, expires_in: 3600 },
});

async function standing(script: Script = rotating) {
  const provider = await startScriptedProvider(script);
  const given = await openBrokering({ ports: [provider.port] });
  await given.register(localDefinition(provider.origin));
  const { connection } = await connectByCode(given);
  await given.permit(connection);
  const { started, run } = await given.startRun();
  const call = (more: Partial<Call> = {}) => given.call({ run, host: 'api.local.test', path: '/me', ...more });
  const decide = (more?: Partial<Call>) => given.broker.decide(call(more));
  const refreshes = () => provider.tokenRequests().filter((one) => one.parameters.grant_type === 'refresh_token');
  const renewRun = () => given.broker.renewRun(given.agent, started.run);
  return { ...given, provider, connection, started, run, call, decide, refreshes, renewRun };
}

function allowed(verdict: Verdict): Allowed {
  if (verdict.kind !== 'allow') throw new Error(`refused: ${JSON.stringify(verdict)}`);
  return verdict;
}

const sent = ({ alteration }: Allowed) => alteration.set.map((one) => one.value.reveal());

describe('an upstream credential', () => {
  test('that is due is refreshed before the call, once for all who call at once', async () => {
    const { decide, people, refreshes, broker, run } = await standing();
    expect(sent(allowed(await decide()))).toEqual(['Bearer canary-0']);
    await people.pass(hour);
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => decide()));
    expect(new Set(verdicts.flatMap((one) => sent(allowed(one))))).toEqual(new Set(['Bearer canary-1']));
    expect(refreshes()).toHaveLength(1);
    const first = allowed(verdicts[0] as Verdict);
    broker.report({ verdict: first, status: 200, outcome: 'answered', sent: 0, received: 0, scrubbed: 0, steps: [] });
    await people.audit.flush();
    const { events } = await people.audit.search(run.organization, { name: 'call.finished', limit: 1 });
    expect(JSON.stringify(events[0]?.fields.steps)).toContain('refreshed');
  });

  test('rejected early is renewed once, and the call goes on with the new one', async () => {
    const { decide, broker, people, refreshes } = await standing();
    await people.pass(61_000);
    const verdict = allowed(await decide());
    expect(verdict.refreshable).toBe(true);
    const renewed = await broker.renew(verdict);
    expect(renewed && sent(renewed)).toEqual(['Bearer canary-1']);
    expect(renewed?.exchange).toBe(verdict.exchange);
    expect(renewed?.refreshable).toBe(false);
    expect(renewed?.scrub.map((one) => one.reveal())).toEqual(['canary-1', 'canary-0']);
    expect(refreshes()).toHaveLength(1);
    expect(sent(allowed(await decide()))).toEqual(['Bearer canary-1']);
  });

  test('SECURITY 13: younger than a minute is not renewed', async () => {
    const { decide, broker, refreshes } = await standing();
    expect(await broker.renew(allowed(await decide()))).toBeUndefined();
    expect(refreshes()).toHaveLength(0);
  });

  test('is renewed only for a call that policy still permits', async () => {
    const { decide, broker, people, policy, by, write } = await standing();
    await people.pass(61_000);
    const verdict = allowed(await decide());
    for (const one of (await policy.list(by.organization, { limit: 10 })).items) await write((tx) => policy.end(tx, by, one.id));
    expect(await broker.renew(verdict)).toBeUndefined();
  });

  test('that its provider ended needs its owner, with the command that mends it', async () => {
    const given = await standing((request, count) =>
      request.parameters.grant_type === 'refresh_token' ? { status: 400, body: { error: 'invalid_grant' } } : rotating(request, count),
    );
    await given.decide();
    await given.people.pass(hour + 1);
    for (let i = 0; i < 2; i++) {
      expect(await given.decide()).toMatchObject({
        kind: 'need',
        what: 'attention',
        code: 'needs_attention',
        hint: 'connect it again with: gatehouse login local --connection default --force',
      });
    }
    expect(given.refreshes()).toHaveLength(1);
  });

  test('that cannot be had is a clear refusal that names the service, on the record, and no upstream call', async () => {
    const given = await standing((request, count) =>
      request.parameters.grant_type === 'refresh_token' ? { status: 503, body: { error: 'server_error' } } : rotating(request, count),
    );
    await given.people.pass(hour + 1);
    const verdict = await given.decide();
    expect(verdict).toMatchObject({ kind: 'deny', detail: 'The credential of local/default cannot be had right now' });
    expect(['refresh_failed', 'credential_unavailable'] as readonly FaultCode[]).toContain(verdict.kind === 'deny' && verdict.code);
    await given.people.audit.flush();
    const { events } = await given.people.audit.search(given.run.organization, { name: 'call.denied', limit: 5 });
    expect(events).toHaveLength(1);
  });

  test('SECURITY 11: is not used when the permission ended while it was refreshed', async () => {
    let release = () => {};
    const waiting = new Promise<void>((go) => {
      release = go;
    });
    const given = await standing(async (request, count) => {
      if (request.parameters.grant_type === 'refresh_token') await waiting;
      return rotating(request, count);
    });
    await given.people.pass(hour);
    const deciding = given.decide();
    await vi.waitFor(() => expect(given.refreshes()).toHaveLength(1));
    const { items } = await given.policy.list(given.by.organization, { limit: 10 });
    for (const one of items) await given.write((tx) => given.policy.end(tx, given.by, one.id));
    release();
    expect(await deciding).toMatchObject({ kind: 'deny', code: 'policy_denied' });
  });

  test('of a connection that was ended is not injected any more, whatever is in memory', async () => {
    const { decide, connect, by, connection, broker, run, call } = await standing();
    const open = allowed(await decide());
    await connect.disconnect(by, connection.id);
    expect(await broker.admit(run, { host: 'api.local.test', port: 443 })).toEqual({ kind: 'blind' });
    expect(allowed(await broker.decide(call())).alteration.set).toEqual([]);
    expect(await broker.renew(open)).toBeUndefined();
  });
});

test('a verdict, an event and a log line hold no secret', async () => {
  const { decide, people, run, connection } = await standing();
  const verdict = await decide();
  expect(JSON.stringify(verdict)).not.toMatch(/canary|refresh-/);
  await people.audit.flush();
  const { events } = await people.audit.search(run.organization, { limit: 200 });
  expect(JSON.stringify(events)).not.toMatch(/canary|refresh-\d/);
  expect(JSON.stringify(connection)).not.toMatch(/canary|refresh-\d/);
});

test('a permission that asks for a separated run refuses a cooperative one and says how to start it', async () => {
  const { connectKey, permit, decide, startRun, broker, call } = await openBrokering();
  await permit(await connectKey('openai', { api_key: 'sk-0123456789abcdefghi' }), { level: 'separated', reach: everything });
  expect(await decide()).toMatchObject({ kind: 'deny', code: 'level_required', hint: expect.stringContaining('gatehouse run --isolate') });
  const { run } = await startRun({ level: 'separated' });
  expect(await broker.decide({ ...call(), run })).toMatchObject({ kind: 'allow' });
});
