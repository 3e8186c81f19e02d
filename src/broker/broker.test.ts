import { X509Certificate } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import type { FaultCode } from '#kernel';
import { brokerOver, everything, openBrokering } from '../../test/support/brokering.ts';
import { activeTestAgent, createTestUser, testKeys } from '../../test/support/people.ts';
import type { Allowed, Call, SlotValue, Verdict } from './contract.ts';

const canary = 'sk-canary-0123456789abcdef';
const minute = 60_000;
const fault = (code: FaultCode) => expect.objectContaining({ code });

function allowed(verdict: Verdict): Allowed {
  if (verdict.kind !== 'allow') throw new Error(`refused: ${JSON.stringify(verdict)}`);
  return verdict;
}

function shown(slots: readonly SlotValue[]): readonly string[] {
  return slots.map((one) => `${one.slot}:${one.slot === 'path' ? '' : one.name}=${one.value.reveal()}`);
}

async function withOpenai() {
  const given = await openBrokering();
  const connection = await given.connectKey('openai', { api_key: canary });
  await given.permit(connection);
  return { ...given, connection };
}

const report = (verdict: Allowed) =>
  ({ verdict, status: 200, outcome: 'answered', sent: 1, received: 2, scrubbed: 0, steps: [{ step: 'finished', ms: 5 }] }) as const;

describe('a run', () => {
  test('gets a credential, a run CA, and a placeholder for every variable of the catalogue, and none of our secrets', async () => {
    const { connectKey, startRun } = await openBrokering();
    await connectKey('openai', { api_key: canary });
    const { started } = await startRun();
    expect(started.variables).toMatchObject({
      OPENAI_API_KEY: expect.stringMatching(/^gatehouse-placeholder-[\w-]{22}$/),
      GITHUB_TOKEN: expect.stringMatching(/^gatehouse-placeholder-[\w-]{22}$/),
    });
    expect(started.connections).toEqual([{ provider: 'openai', name: 'default', hosts: ['api.openai.com'] }]);
    expect(started.credential.reveal()).toMatch(/^ghr_[\w-]{43}$/);
    expect(JSON.stringify(started)).not.toContain('canary');
    expect(new Set(Object.values(started.variables)).size).toBe(Object.keys(started.variables).length);
  });

  test('has other placeholders than any other run', async () => {
    const { startRun } = await openBrokering();
    const [a, b] = [await startRun(), await startRun()];
    expect(a.started.variables.OPENAI_API_KEY).not.toBe(b.started.variables.OPENAI_API_KEY);
  });

  test('trusts an authority of at most a day, limited to the hosts of the catalogue, that never covers our own', async () => {
    const { startRun, people } = await openBrokering({ broker: { ownHosts: ['slack.com'] } });
    const { started } = await startRun();
    const authority = new X509Certificate(started.authorityPem);
    expect(authority.ca).toBe(true);
    expect(Date.parse(authority.validTo) - people.clock.now()).toBeLessThanOrEqual(24 * 60 * minute);
    expect(Date.parse(authority.validTo) - Date.parse(authority.validFrom)).toBeLessThanOrEqual(24 * 60 * minute);
    const der = authority.raw.toString('latin1');
    expect(der).toContain('api.openai.com');
    expect(der).toContain('googleapis.com');
    expect(der).not.toContain('*.');
    expect(der).not.toContain('\x82\x09slack.com');
  });

  test('is known by its credential for five minutes, and longer only when renewed', async () => {
    const { broker, agent, started, people } = await openBrokering();
    const credential = started.credential.reveal();
    await people.pass(4 * minute);
    const renewed = await broker.renewRun(agent, started.run);
    expect(renewed.expiresAt).toBe(people.clock.now() + 5 * minute);
    await expect(broker.authenticateRun(credential)).resolves.toMatchObject({ id: started.run });
    await people.pass(minute);
    await expect(broker.authenticateRun(credential)).rejects.toEqual(fault('proxy_unauthenticated'));
    await expect(broker.authenticateRun(renewed.credential.reveal())).resolves.toMatchObject({ id: started.run });
  });

  test('is carried on by a tunnel that is open, for as long as it is renewed', async () => {
    const { broker, agent, started, people } = await openBrokering();
    const run = await broker.authenticateRun(started.credential.reveal());
    for (let i = 0; i < 3; i++) {
      await people.pass(4 * minute);
      await broker.renewRun(agent, started.run);
      await expect(broker.carriedRun(run)).resolves.toMatchObject({ id: started.run });
    }
    await people.pass(5 * minute);
    await expect(broker.carriedRun(run)).rejects.toEqual(fault('proxy_unauthenticated'));
    await broker.renewRun(agent, started.run);
    await broker.endRun(agent, started.run, 'done');
    await expect(broker.carriedRun(run)).rejects.toEqual(fault('run_ended'));
  });

  test('is not known by anything else', async () => {
    const { broker, started } = await openBrokering();
    const credential = started.credential.reveal();
    for (const wrong of [
      '',
      'ghr_',
      `${credential}x`,
      credential.slice(0, -1),
      credential.toUpperCase(),
      `ghr_${'a'.repeat(43)}`,
      started.run,
    ]) {
      await expect(broker.authenticateRun(wrong), wrong).rejects.toEqual(fault('proxy_unauthenticated'));
    }
  });

  test('that ended is refused at the next request, here and in another process within a second', async () => {
    const given = await openBrokering();
    const { broker, agent, started, policy } = given;
    const other = brokerOver(given, policy);
    const credential = started.credential.reveal();
    await other.authenticateRun(credential);
    await broker.endRun(agent, started.run, 'exited');
    await expect(broker.authenticateRun(credential)).rejects.toEqual(fault('run_ended'));
    await expect(other.authenticateRun(credential)).rejects.toEqual(fault('run_ended'));
    await expect(broker.renewRun(agent, started.run)).rejects.toEqual(fault('run_ended'));
    await broker.endRun(agent, started.run, 'exited');
    expect(given.people.audit.drafts.filter((draft) => draft.name === 'run.ended')).toHaveLength(1);
  });

  test('ends after a day, renewed or not', async () => {
    const { broker, agent, started, people } = await openBrokering();
    await people.pass(24 * 60 * minute - minute);
    const { credential, expiresAt } = await broker.renewRun(agent, started.run);
    expect(expiresAt).toBe(people.clock.now() + minute);
    await people.pass(minute);
    await expect(broker.authenticateRun(credential.reveal())).rejects.toEqual(fault('proxy_unauthenticated'));
    await expect(broker.renewRun(agent, started.run)).rejects.toEqual(fault('run_ended'));
  });

  test('of a suspended agent is refused at once, and re-activation does not revive it', async () => {
    const { broker, agent, started, people, by, write } = await openBrokering();
    const credential = started.credential.reveal();
    await broker.authenticateRun(credential);
    await people.identity.suspend(by, agent.id);
    await expect(broker.authenticateRun(credential)).rejects.toEqual(fault('agent_not_active'));
    await write((tx) => people.identity.reactivate(tx, by, agent.id));
    await expect(broker.authenticateRun(credential)).rejects.toEqual(fault('run_ended'));
  });

  test('of an agent whose owner was suspended is refused', async () => {
    const given = await openBrokering();
    const { broker, people, by } = given;
    const second = await createTestUser(people, 'bob@example.com', 'owner');
    const agent = await activeTestAgent(people, testKeys(), second, 'bobs');
    const started = await broker.startRun(agent, { level: 'cooperative', program: 'x', connections: {}, passed: [] });
    await broker.authenticateRun(started.credential.reveal());
    await people.identity.suspendUser(by, second.id);
    await expect(broker.authenticateRun(started.credential.reveal())).rejects.toEqual(fault('agent_not_active'));
  });

  test('is refused when this process has not learnt for three seconds what ended', async () => {
    const { broker, started, people, decide } = await openBrokering();
    people.clock.advance(3_001);
    await expect(broker.authenticateRun(started.credential.reveal())).rejects.toEqual(fault('stale_revocations'));
    await expect(decide()).rejects.toEqual(fault('stale_revocations'));
    await people.pass(0);
    await expect(broker.authenticateRun(started.credential.reveal())).resolves.toBeDefined();
  });

  test('of another agent can be neither renewed nor ended', async () => {
    const { broker, started, people, user } = await openBrokering();
    const other = await activeTestAgent(people, testKeys(), user, 'other');
    await expect(broker.renewRun(other, started.run)).rejects.toEqual(fault('not_found'));
    await expect(broker.endRun(other, started.run, 'x')).rejects.toEqual(fault('not_found'));
  });

  test('is listed newest first, page by page, as ended once it fell silent', async () => {
    const { broker, agent, people, startRun, started } = await openBrokering();
    await people.pass(10 * minute);
    const second = await startRun();
    const page = await broker.runs(agent.organization, { limit: 1 });
    expect(page.items).toMatchObject([{ id: second.started.run, program: 'python', endedAt: undefined }]);
    const rest = await broker.runs(agent.organization, { limit: 1, ...(page.next ? { cursor: page.next } : {}) });
    expect(rest).toMatchObject({ items: [{ id: started.run, endedAt: people.clock.now() - 5 * minute }] });
    expect(rest.next).toBeUndefined();
    await expect(broker.runs(agent.organization, { limit: 1, cursor: '!!' })).rejects.toEqual(fault('invalid_request'));
  });

  test('refuses a chosen connection that is not there', async () => {
    const { startRun } = await openBrokering();
    await expect(startRun({ connections: { openai: 'work' } })).rejects.toEqual(fault('connection_unknown'));
  });
});

describe('the interception key', () => {
  test('is one, however many processes make it at once, and its leaves fit every run CA', async () => {
    const given = await openBrokering();
    const { organization } = given.agent;
    const brokers = Array.from({ length: 8 }, () => brokerOver(given, given.policy));
    const leaves = await Promise.all(brokers.map(async (one) => (await one.authority(organization)).leaf('api.openai.com')));
    const authority = new X509Certificate(given.started.authorityPem);
    for (const { certificatePem, key } of leaves) {
      const leaf = new X509Certificate(certificatePem);
      expect(leaf.verify(authority.publicKey)).toBe(true);
      expect(leaf.checkIssued(authority)).toBe(true);
      expect(leaf.checkPrivateKey(key)).toBe(true);
    }
  });

  test('rests sealed', async () => {
    const { people, agent } = await openBrokering();
    const row = await people.store.records
      .in(agent.organization)
      .read((tx) => tx.db.selectFrom('authorities').selectAll().executeTakeFirstOrThrow());
    expect(Buffer.from(row.key_envelope).includes(Buffer.from('MIGHAgEA'))).toBe(false);
    const ellipticKey = Buffer.from('06072a8648ce3d0201', 'hex');
    expect(Buffer.from(row.public_key).includes(ellipticKey)).toBe(true);
    expect(Buffer.from(row.key_envelope).includes(ellipticKey)).toBe(false);
  });

  test('never vouches for an address, and leaves live no longer than two days', async () => {
    const { broker, agent, people } = await openBrokering();
    const authority = await broker.authority(agent.organization);
    expect(() => authority.leaf('127.0.0.1')).toThrow(fault('host_refused'));
    expect(() => authority.leaf('::1')).toThrow(fault('host_refused'));
    const first = authority.leaf('api.openai.com');
    expect(Date.parse(new X509Certificate(first.certificatePem).validTo)).toBe(people.clock.now() + 48 * 60 * minute);
    expect(authority.leaf('api.openai.com')).toBe(first);
    await people.pass(24 * 60 * minute);
    expect(authority.leaf('api.openai.com')).not.toBe(first);
  });
});

describe('a CONNECT', () => {
  test('is intercepted for a host with a connection, and for no other host or port', async () => {
    const { broker, run, connectKey } = await openBrokering();
    const admit = (host: string, port = 443) => broker.admit(run, { host, port });
    expect(await admit('api.openai.com')).toEqual({ kind: 'blind' });
    await connectKey('openai', { api_key: canary });
    expect(await admit('api.openai.com')).toEqual({ kind: 'intercept' });
    for (const host of ['api.openai.com.evil.test', 'xapi.openai.com', 'openai.com', 'api.github.com', '1.2.3.4', '2606:4700::1111']) {
      expect(await admit(host), host).toEqual({ kind: 'blind' });
    }
    expect(await admit('api.openai.com', 8443)).toEqual({ kind: 'blind' });
  });

  test('never reaches Gatehouse itself', async () => {
    const { broker, run } = await openBrokering({ broker: { ownHosts: ['gatehouse.internal', 'db.internal:5432'] } });
    for (const [host, port] of [
      ['gatehouse.example', 443],
      ['gatehouse.internal', 8080],
      ['db.internal', 5432],
    ] as const) {
      expect(await broker.admit(run, { host, port })).toMatchObject({ kind: 'refuse', code: 'own_host_refused' });
    }
    expect(await broker.admit(run, { host: 'db.internal', port: 443 })).toEqual({ kind: 'blind' });
  });

  test('to a host without a connection is refused where other hosts are closed, with what to do next', async () => {
    const { broker, run } = await openBrokering({ broker: { otherHosts: 'deny' } });
    expect(await broker.admit(run, { host: 'example.com', port: 443 })).toEqual({ kind: 'refuse', code: 'host_refused' });
    expect(await broker.admit(run, { host: 'api.openai.com', port: 443 })).toMatchObject({
      hint: 'connect it with: gatehouse login openai',
    });
  });
});

describe('a decision', () => {
  test('is deny until a permission allows, and names the exact command', async () => {
    const { connectKey, permit, decide } = await openBrokering();
    const connection = await connectKey('openai', { api_key: canary });
    const verdict = await decide();
    expect(verdict).toMatchObject({
      kind: 'deny',
      code: 'policy_denied',
      hint: expect.stringContaining('gatehouse policy allow coder openai/default'),
    });
    await permit(connection);
    expect(await decide()).toMatchObject({ kind: 'allow' });
  });

  test('that allows clears every known slot, then sets the credential', async () => {
    const { decide, connection } = await withOpenai();
    const verdict = allowed(await decide());
    expect(verdict.connection).toEqual({ id: connection.id, provider: 'openai', name: 'default' });
    expect(shown(verdict.alteration.set)).toEqual([`header:authorization=Bearer ${canary}`]);
    expect(verdict.alteration.clear.headers).toEqual(
      expect.arrayContaining(['authorization', 'cookie', 'proxy-authorization', 'gatehouse-connection']),
    );
    expect(verdict.alteration.replace).toEqual([]);
    expect(verdict.scrub.map((one) => one.reveal())).toEqual([canary]);
    expect(JSON.stringify(verdict)).not.toContain('canary');
  });

  test('holds no longer than three seconds after what ended was last learnt', async () => {
    const { decide, people } = await withOpenai();
    const age = people.store.changes.age();
    expect(allowed(await decide()).until).toBeLessThanOrEqual(people.clock.monotonic() + 3_000 - age);
    people.clock.advance(2_000);
    expect(allowed(await decide()).until).toBeLessThanOrEqual(people.clock.monotonic() + 1_000);
  });

  test('that ran out on the way to the upstream is judged anew: the same as ever, or refused', async () => {
    const { decide, people, broker, policy, by, write, permit, connection } = await withOpenai();
    const verdict = allowed(await decide());
    await people.pass(4_000);
    expect(verdict.until).toBeLessThan(people.clock.monotonic());
    const again = await broker.rejudge(verdict);
    expect(again).toEqual({ ...verdict, until: again.until });
    expect(again.until).toBeGreaterThan(people.clock.monotonic());
    await verdict.recorded;
    await people.audit.flush();
    const { events } = await people.audit.search(by.organization, { name: 'call.allowed', limit: 9 });
    expect(events).toHaveLength(1);
    const other = await permit(connection);
    for (const { id } of (await policy.list(by.organization, { limit: 10 })).items)
      if (id !== other.id) await write((tx) => policy.end(tx, by, id));
    await expect(broker.rejudge(again)).rejects.toMatchObject({ code: 'busy' });
    await write((tx) => policy.end(tx, by, other.id));
    await expect(broker.rejudge(again)).rejects.toMatchObject({ code: 'policy_denied' });
    people.clock.advance(3_001);
    await expect(broker.rejudge(again)).rejects.toMatchObject({ code: 'stale_revocations' });
    broker.report(report(again));
    await expect(broker.rejudge(again)).rejects.toMatchObject({ code: 'busy' });
  });

  test('with a form that nobody watches does not outlive a deny that has its fields watched', async () => {
    const { decide, people, broker, permit, connection } = await withOpenai();
    const post = {
      method: 'POST',
      path: '/v1/chat/completions',
      headers: [['Content-Type', 'application/x-www-form-urlencoded']],
    } as const;
    const verdict = allowed(await decide(post));
    expect(verdict.form).toBeUndefined();
    await permit(connection, { effect: 'deny', reach: { classes: ['delete'], operations: [], patterns: [], everything: false } });
    await people.pass(4_000);
    await expect(broker.rejudge(verdict)).rejects.toMatchObject({ code: 'busy' });
    expect(allowed(await decide(post)).form).toBe('urlencoded');
  });

  test('holds no longer than its permission', async () => {
    const { decide, connectKey, permit, people } = await openBrokering();
    await permit(await connectKey('openai', { api_key: canary }), { expiresAt: people.clock.now() + 500 });
    expect(allowed(await decide()).until).toBeLessThanOrEqual(people.clock.monotonic() + 500);
    await people.pass(500);
    expect(await decide()).toMatchObject({ kind: 'deny', code: 'permission_ended' });
  });

  test('follows the end of a permission, of the connection and of the run at the next request', async () => {
    const given = await withOpenai();
    const { policy, permit, connection, connect, by, write, decide } = given;
    await permit(connection, {
      reach: { ...everything, everything: false, patterns: [{ methods: ['GET'], path: '/v1/**' }] },
    });
    for (const one of (await policy.list(by.organization, { limit: 10 })).items) await write((tx) => policy.end(tx, by, one.id));
    expect(await decide()).toMatchObject({ kind: 'deny', code: 'policy_denied' });
    await permit(connection);
    expect(await decide()).toMatchObject({ kind: 'allow' });
    await connect.disconnect(by, connection.id);
    const after = allowed(await decide());
    expect(after).toMatchObject({ connection: undefined });
    expect(after.alteration.set).toEqual([]);
  });

  test('is recorded with who, what and the name of the credential, and without any secret', async () => {
    const { decide, people, run, connection, broker } = await withOpenai();
    const verdict = allowed(await decide({ path: '/v1/models', query: 'api_key=mine-canary' }));
    await verdict.recorded;
    broker.report(report(verdict));
    await decide({ scheme: 'http', port: 80 });
    await people.audit.flush();
    const { events } = await people.audit.search(run.organization, { run: run.id, limit: 50, order: 'oldest' });
    expect(events.map((event) => event.name)).toEqual(['run.started', 'call.allowed', 'call.finished', 'call.denied']);
    expect(events[1]).toMatchObject({
      subject: `user:${run.principal.subject.kind === 'user' ? run.principal.subject.id : ''}`,
      connection: connection.id,
      fields: {
        method: 'GET',
        host: 'api.openai.com',
        path: '/v1/models',
        provider: 'openai',
        credential: 'default',
        slots: ['header:authorization'],
      },
    });
    expect(events[2]).toMatchObject({ fields: { status: 200, outcome: 'answered', sent: 1, received: 2 } });
    expect(JSON.stringify(events[2]?.fields.steps)).toMatch(/identified.*decided.*opened.*finished/);
    expect(events[3]).toMatchObject({ fields: { code: 'clear_text_refused' } });
    expect(JSON.stringify(events)).not.toContain('canary');
  });

  test('is reported once, however often it is told', async () => {
    const { decide, people, run, broker } = await withOpenai();
    const verdict = allowed(await decide());
    for (let i = 0; i < 3; i++) broker.report(report(verdict));
    await people.audit.flush();
    const { events } = await people.audit.search(run.organization, { name: 'call.finished', limit: 50 });
    expect(events).toHaveLength(1);
  });

  test('SECURITY 6: refuses clear text to a host that has a connection, at any port', async () => {
    const { decide } = await withOpenai();
    for (const port of [80, 443, 8080]) {
      expect(await decide({ scheme: 'http', port })).toMatchObject({ kind: 'deny', code: 'clear_text_refused' });
    }
    expect(await decide({ scheme: 'http', host: 'example.com', port: 80 })).toMatchObject({ kind: 'allow', connection: undefined });
  });

  test('refuses TRACE whatever is permitted', async () => {
    const { decide } = await withOpenai();
    for (const method of ['TRACE', 'trace', 'TRACK', 'CONNECT']) {
      expect(await decide({ method })).toMatchObject({ kind: 'deny', code: 'method_refused' });
    }
  });

  test('refuses our own host', async () => {
    const { decide } = await openBrokering();
    expect(await decide({ host: 'gatehouse.example' })).toMatchObject({ kind: 'deny', code: 'own_host_refused' });
  });

  test.each([
    { path: '/v1/%2e%2e/admin' },
    { path: '/v1/models%2Fx' },
    { path: '/v1/../admin' },
    { headers: [['X-HTTP-Method-Override', 'DELETE']] },
    { headers: [['x-original-url', '/admin']] },
    { headers: [['X_HTTP_Method_Override', 'DELETE']] },
    { headers: [['X-Forwarded-Uri', '/admin']] },
    { headers: [['X-Forwarded-Host', 'other.example']] },
    { query: '_method=DELETE' },
    { query: 'a=1&_m%65thod=DELETE' },
    { query: '_method[]=DELETE' },
    { query: 'X-HTTP-Method-Override=DELETE' },
  ] as readonly Partial<Call>[])('SECURITY 9: %j passes only a permission for the whole host', async (more) => {
    const { decide, connectKey, permit } = await openBrokering();
    const connection = await connectKey('openai', { api_key: canary });
    await permit(connection, { reach: { ...everything, everything: false, patterns: [{ methods: ['GET'], path: '/**' }] } });
    expect(await decide()).toMatchObject({ kind: 'allow' });
    expect(await decide(more)).toMatchObject({ kind: 'deny', code: 'ambiguous_path' });
    await permit(connection);
    expect(await decide(more)).toMatchObject({ kind: 'allow' });
  });

  test('on a host without a connection follows the setting', async () => {
    const open = await openBrokering();
    const verdict = allowed(await open.decide({ host: 'example.com' }));
    expect(verdict).toMatchObject({ connection: undefined, permission: undefined, refreshable: false });
    expect(verdict.alteration).toEqual({
      clear: { headers: ['proxy-authorization', 'gatehouse-connection'], query: [], cookies: [] },
      set: [],
      replace: [],
    });
    const shut = await openBrokering({ broker: { otherHosts: 'deny' } });
    expect(await shut.decide({ host: 'example.com' })).toMatchObject({ kind: 'deny', code: 'host_refused' });
  });
});

describe('which connection', () => {
  const two = async () => {
    const given = await openBrokering();
    const home = await given.connectKey('openai', { api_key: 'sk-home-0123456789abcdef' });
    const work = await given.connectKey('openai', { api_key: 'sk-work-0123456789abcdef' }, 'work');
    for (const one of [home, work]) await given.permit(one);
    return { ...given, home, work };
  };

  test('is the default, unless the header or the run says otherwise', async () => {
    const { decide, startRun, call, broker } = await two();
    expect(allowed(await decide()).connection?.name).toBe('default');
    const named = (value: string) => decide({ headers: [['Gatehouse-Connection', value]] });
    expect(allowed(await named('work')).connection?.name).toBe('work');
    expect(allowed(await named('openai/work')).connection?.name).toBe('work');
    const { run } = await startRun({ connections: { openai: 'work' } });
    expect(allowed(await broker.decide({ ...call(), run })).connection?.name).toBe('work');
  });

  test('that is unknown or malformed is refused with the choices', async () => {
    const { decide } = await two();
    for (const value of ['home', 'github/work', 'a/b/c', '', 'WORK', '../work']) {
      const verdict = await decide({ headers: [['Gatehouse-Connection', value]] });
      expect(verdict, value).toMatchObject({ kind: 'deny', code: 'connection_unknown', hint: expect.stringContaining('openai/work') });
    }
    const twice = await decide({
      headers: [
        ['Gatehouse-Connection', 'work'],
        ['gatehouse-connection', 'default'],
      ],
    });
    expect(twice).toMatchObject({ code: 'connection_unknown' });
  });

  test('is that of the provider whose path is the longest', async () => {
    const { register, connectKey, permit, decide } = await openBrokering();
    const definition = (id: string, hosts: readonly object[]) => ({
      id,
      name: id,
      documentation: 'https://example.com/docs',
      hosts,
      auth: [{ kind: 'api_key', fields: [{ name: 'api_key', label: 'Key' }], inject: [{ kind: 'bearer', part: 'api_key' }] }],
      variables: [],
    });
    await register(definition('wide', [{ host: '*.shared.example', tenant: false }]));
    await register(definition('rest', [{ host: 'api.shared.example' }]));
    await register(definition('mcp', [{ host: 'api.shared.example', path: '/mcp' }]));
    for (const id of ['wide', 'rest', 'mcp']) await permit(await connectKey(id, { api_key: `key-of-${id}` }));
    const to = async (path: string, host = 'api.shared.example') => allowed(await decide({ host, path })).connection?.provider;
    expect(await to('/mcp')).toBe('mcp');
    expect(await to('/mcp/x')).toBe('mcp');
    expect(await to('/mcpx')).toBe('rest');
    expect(await to('/')).toBe('rest');
    expect(await to('/', 'other.shared.example')).toBe('wide');
  });
});

describe('every kind of injection', () => {
  async function with_(
    inject: readonly object[],
    more: Record<string, unknown> = {},
    fields: Record<string, string> = { api_key: canary },
  ) {
    const given = await openBrokering();
    await given.register({
      id: 'custom',
      name: 'Custom',
      documentation: 'https://example.com/docs',
      hosts: [{ host: 'api.custom.example' }],
      auth: [{ kind: 'api_key', fields: Object.keys(fields).map((name) => ({ name, label: name, secret: name !== 'username' })), inject }],
      variables: [{ name: 'CUSTOM_KEY', part: Object.keys(fields).at(-1) }],
      ...more,
    });
    await given.permit(await given.connectKey('custom', fields));
    const { started, run } = await given.startRun();
    const placeholder = started.variables.CUSTOM_KEY ?? '';
    const decide = (call: Partial<Call> = {}) =>
      given.broker.decide({ ...given.call({ host: 'api.custom.example', path: '/x', ...call }), run });
    return { ...given, decide, placeholder };
  }

  test('header with a prefix, twice', async () => {
    const { decide } = await with_([
      { kind: 'header', name: 'X-Api-Key', prefix: 'Key ' },
      { kind: 'header', name: 'X-Other' },
    ]);
    const { alteration } = allowed(await decide());
    expect(shown(alteration.set)).toEqual([`header:x-api-key=Key ${canary}`, `header:x-other=${canary}`]);
    expect(alteration.clear.headers).toEqual(expect.arrayContaining(['x-api-key', 'x-other', 'authorization', 'cookie']));
  });

  test('basic, whose user name is not masked in answers', async () => {
    const { decide } = await with_([{ kind: 'basic' }], {}, { username: 'ada-the-user', password: 'p-canary' });
    const verdict = allowed(await decide());
    const encoded = Buffer.from('ada-the-user:p-canary').toString('base64');
    expect(shown(verdict.alteration.set)).toEqual([`header:authorization=Basic ${encoded}`]);
    expect(verdict.scrub.map((one) => one.reveal())).toEqual(['p-canary', encoded]);
  });

  test('query and cookie, cleared first', async () => {
    const { decide } = await with_(
      [
        { kind: 'query', name: 'key' },
        { kind: 'cookie', name: 'session' },
      ],
      { credential_slots: { query: ['token'] } },
    );
    const { alteration } = allowed(await decide({ query: 'key=mine&a=b' }));
    expect(shown(alteration.set)).toEqual([`query:key=${canary}`, `cookie:session=${canary}`]);
    expect(alteration.clear).toMatchObject({ query: ['token', 'key'], cookies: ['session'] });
  });

  test('path, whose segment is neither recorded nor refused for its placeholder', async () => {
    const { decide, placeholder, people, run } = await with_(
      [{ kind: 'path', template: '/bot{api_key}/' }],
      {},
      { api_key: '123:can-ary' },
    );
    for (const segment of [placeholder, 'own-key-of-the-agent']) {
      const verdict = allowed(await decide({ path: `/bot${segment}/sendMessage` }));
      expect(shown(verdict.alteration.set)).toEqual(['path:=/bot123:can-ary/sendMessage']);
      await verdict.recorded;
    }
    expect(await decide({ path: `/bot${placeholder}/send/${placeholder}` })).toMatchObject({ code: 'placeholder_misplaced' });
    const { events } = await people.audit.search(run.organization, { name: 'call.allowed', limit: 9 });
    expect(events.map((event) => event.fields.path)).toEqual(['/bot{api_key}/sendMessage', '/bot{api_key}/sendMessage']);
  });

  test('placeholder, only in the slots that the provider names', async () => {
    const { decide, placeholder } = await with_([{ kind: 'placeholder', slots: ['header', 'query'] }]);
    const inHeader = allowed(await decide({ headers: [['X-Odd', `v1 ${placeholder}`]] }));
    expect(inHeader.alteration.replace.map((one) => [one.placeholder, one.value.reveal(), one.slots])).toEqual([
      [placeholder, canary, ['header', 'query']],
    ]);
    const inAuthorization = allowed(await decide({ headers: [['Authorization', `Token ${placeholder}`]] }));
    expect(inAuthorization.alteration).toMatchObject({
      clear: { headers: expect.arrayContaining(['authorization']) },
      replace: [{ placeholder }],
    });
    expect(allowed(await decide({ query: `q=${placeholder}` })).alteration.replace).toHaveLength(1);
    expect(allowed(await decide()).alteration.replace).toEqual([]);
    expect(await decide({ path: `/x/${placeholder}` })).toMatchObject({ code: 'placeholder_misplaced' });
    expect(await decide({ headers: [['Cookie', `a=${placeholder}`]] })).toMatchObject({ kind: 'allow' });
  });
});

describe('a placeholder', () => {
  test('in a slot that is cleared is no reason to refuse', async () => {
    const { decide, started } = await withOpenai();
    const placeholder = started.variables.OPENAI_API_KEY ?? '';
    const basic = `Basic ${Buffer.from(`x:${placeholder}`).toString('base64')}`;
    for (const value of [`Bearer ${placeholder}`, basic]) {
      expect(await decide({ headers: [['Authorization', value]] })).toMatchObject({ kind: 'allow', alteration: { replace: [] } });
    }
  });

  test('anywhere else is refused, also for a host without a connection', async () => {
    const { decide, started, people, run } = await withOpenai();
    const placeholder = started.variables.OPENAI_API_KEY ?? '';
    for (const more of [
      { headers: [['X-Note', placeholder]] },
      { headers: [['X-Note', `Basic ${Buffer.from(`x:${placeholder}`).toString('base64')}`]] },
      { path: `/v1/${placeholder}` },
      { query: `a=${placeholder}` },
      { host: 'example.com', headers: [['Authorization', `Bearer ${placeholder}`]] },
    ] as readonly Partial<Call>[]) {
      expect(await decide(more), JSON.stringify(more)).toMatchObject({ kind: 'deny', code: 'placeholder_misplaced' });
    }
    await people.audit.flush();
    const { events } = await people.audit.search(run.organization, { name: 'call.denied', limit: 50 });
    expect(events).toHaveLength(5);
    expect(JSON.stringify(events)).not.toContain(placeholder);
  });

  test('of another run, or of none, is refused wherever it stands', async () => {
    const { decide, startRun } = await withOpenai();
    const { started } = await startRun();
    for (const foreign of [started.variables.OPENAI_API_KEY, `gatehouse-placeholder-${'A'.repeat(22)}`, 'gatehouse-placeholder-']) {
      expect(await decide({ headers: [['Authorization', `Bearer ${foreign}`]] })).toMatchObject({
        kind: 'deny',
        code: 'placeholder_foreign',
      });
    }
  });
});

describe("the agent's own credential", () => {
  test('is cleared unless the permission lets it pass, and then nothing of ours goes with it', async () => {
    const { decide, connectKey, permit, started } = await openBrokering();
    const connection = await connectKey('openai', { api_key: canary });
    await permit(connection, { passCredential: true });
    const own = allowed(await decide({ headers: [['Authorization', 'Bearer my-own']] }));
    expect(own.alteration.set).toEqual([]);
    expect(own.alteration.clear.headers).toEqual(['proxy-authorization', 'gatehouse-connection']);
    expect(own.scrub).toEqual([]);
    const without = allowed(await decide());
    expect(shown(without.alteration.set)).toEqual([`header:authorization=Bearer ${canary}`]);
    const placeholder = started.variables.OPENAI_API_KEY ?? '';
    const withPlaceholder = allowed(await decide({ headers: [['Authorization', `Bearer ${placeholder}`]] }));
    expect(shown(withPlaceholder.alteration.set)).toEqual([`header:authorization=Bearer ${canary}`]);
  });
});

describe('what is under way', () => {
  async function listening() {
    const given = await withOpenai();
    const told: string[] = [];
    given.broker.ended((what, code) => told.push(`${'run' in what ? what.run : what.exchange} ${code}`));
    return { ...given, told };
  }

  test('is cut when its permission ends, and only then', async () => {
    const { decide, told, policy, by, write, connectKey, permit } = await listening();
    const other = await connectKey('anthropic', { api_key: 'sk-ant-0123456789abcdef0123' });
    await permit(other);
    const kept = allowed(await decide({ host: 'api.anthropic.com', path: '/v1/models' }));
    const verdict = allowed(await decide());
    const second = allowed(await decide());
    const { items } = await policy.list(by.organization, { limit: 10 });
    const mine = items.find((one) => one.id === verdict.permission);
    await write((tx) => policy.end(tx, by, mine!.id));
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0));
    expect(new Set(told)).toEqual(new Set([`${verdict.exchange} policy_denied`, `${second.exchange} policy_denied`]));
    expect(told.join()).not.toContain(kept.exchange);
  });

  test('is cut when the permission ends by the clock', async () => {
    const { decide, told, connectKey, permit, people } = await listening();
    await permit(await connectKey('anthropic', { api_key: 'sk-ant-0123456789abcdef0123' }), { expiresAt: people.clock.now() + 1_000 });
    const verdict = allowed(await decide({ host: 'api.anthropic.com', path: '/v1/models' }));
    people.clock.advance(1_000);
    await vi.waitFor(() => expect(told).toContain(`${verdict.exchange} permission_ended`));
  });

  test('is cut when the connection is disconnected', async () => {
    const { decide, told, connect, by, connection } = await listening();
    const verdict = allowed(await decide());
    await connect.disconnect(by, connection.id);
    await vi.waitFor(() => expect(told).toContain(`${verdict.exchange} connection_unknown`));
  });

  test('is cut, blind tunnels too, when the agent is suspended or the run ends', async () => {
    const { broker, told, people, by, agent, run } = await listening();
    await broker.tunnel(run, { host: 'example.com', port: 443 });
    await people.identity.suspend(by, agent.id);
    await vi.waitFor(() => expect(told).toContain(`${run.id} agent_not_active`));
    await broker.tunnel(run, { host: 'example.com', port: 443 }, { sent: 1, received: 2, ms: 3 });
  });

  test('is cut when this process can no longer learn what ended', async () => {
    const { decide, told, people, run } = await listening();
    allowed(await decide());
    await vi.waitFor(() => {
      // A poll may come between the advance and the look.
      people.clock.advance(3_001);
      expect(told).toContain(`${run.id} stale_revocations`);
    });
  });

  test('is left alone by changes that do not concern it, and once it was reported', async () => {
    const { decide, told, broker, connectKey, people, by, agent } = await listening();
    allowed(await decide());
    await connectKey('anthropic', { api_key: 'sk-ant-0123456789abcdef0123' });
    const done = allowed(await decide());
    broker.report(report(done));
    await new Promise((later) => setTimeout(later, 600));
    expect(told).toEqual([]);
    await people.identity.suspend(by, agent.id);
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0));
    expect(told.join()).not.toContain(done.exchange);
  });
});
