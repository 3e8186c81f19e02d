import { expect, test, vi } from 'vitest';
import { openBrokering } from '../../test/support/brokering.ts';
import type { Foreseen, Supposed } from './contract.ts';

const key = 'sk-canary-0123456789abcdef';

type Brokering = Awaited<ReturnType<typeof openBrokering>>;

/** Foresees the call that `decide` of the test broker makes, unless told otherwise. */
function foreseeing({ broker, agent, call }: Brokering) {
  return (more: Partial<Supposed['call']> = {}, connection?: string): Promise<Foreseen> =>
    broker.foresee({ agent, level: 'cooperative', call: { ...call(), ...more }, connection });
}

test('a host without a connection is let through, or refused where other hosts are closed, as its tunnel would be', async () => {
  const open = foreseeing(await openBrokering());
  expect(await open({ host: 'example.com' })).toMatchObject({ effect: 'allow', reason: 'no_connection', provider: undefined });
  const known = { provider: 'openai', hint: 'connect it with: gatehouse login openai' };
  expect(await open()).toMatchObject({ effect: 'allow', reason: 'no_connection', ...known });
  const closed = foreseeing(await openBrokering({ broker: { otherHosts: 'deny' } }));
  expect(await closed({ host: 'example.com' })).toMatchObject({ effect: 'deny', reason: 'host_refused', provider: undefined });
  expect(await closed()).toMatchObject({ effect: 'deny', reason: 'host_refused', ...known });
});

test('what no permission changes is said before any: our own host, clear text, an agent that is not active', async () => {
  const brokering = await openBrokering();
  const foresee = foreseeing(brokering);
  expect(await foresee({ host: 'gatehouse.example' })).toMatchObject({ effect: 'deny', reason: 'own_host_refused' });
  await brokering.permit(await brokering.connectKey('openai', { api_key: key }));
  expect(await foresee({ scheme: 'http', port: 80 })).toMatchObject({ effect: 'deny', reason: 'clear_text_refused' });
  const suspended = foreseeing({ ...brokering, agent: { ...brokering.agent, status: 'suspended' } });
  expect(await suspended()).toMatchObject({ effect: 'deny', reason: 'agent_not_active' });
});

test('with a connection, permissions decide, and what would permit it is named', async () => {
  const brokering = await openBrokering();
  const foresee = foreseeing(brokering);
  const connection = await brokering.connectKey('openai', { api_key: key });
  const command = expect.stringContaining('gatehouse policy allow coder openai/default');
  expect(await foresee()).toMatchObject({ effect: 'deny', reason: 'no_permission', connection: 'default', command, considered: [] });
  const { id } = await brokering.permit(connection);
  expect(await foresee()).toMatchObject({ effect: 'allow', reason: undefined, permission: id, considered: [{ applies: true }] });
});

test('a connection that rests is denied until its owner says it was them, whatever is permitted', async () => {
  const brokering = await openBrokering();
  await brokering.permit(await brokering.connectKey('openai', { api_key: key }, 'default', 'command_line'));
  expect(await foreseeing(brokering)()).toMatchObject({
    effect: 'deny',
    reason: 'needs_attention',
    connection: 'default',
    hint: 'its owner says first, in the browser, that it was them who connected it',
    considered: [{ applies: true }],
  });
});

test('the connection that is named is the one that is judged', async () => {
  const brokering = await openBrokering();
  const foresee = foreseeing(brokering);
  await brokering.permit(await brokering.connectKey('openai', { api_key: key }, 'work'));
  await brokering.connectKey('openai', { api_key: key }, 'home');
  expect(await foresee({}, 'openai/work')).toMatchObject({ effect: 'allow', connection: 'work' });
  expect(await foresee({}, 'home')).toMatchObject({ effect: 'deny', reason: 'no_permission', connection: 'home' });
  expect(await foresee({}, 'none')).toMatchObject({ effect: 'deny', reason: 'connection_unknown' });
});

test('nothing is recorded, and a real call is decided alike', async () => {
  const brokering = await openBrokering();
  await brokering.connectKey('openai', { api_key: key });
  const { people, agent } = brokering;
  const count = async () => (await people.audit.search(agent.organization, { limit: 100 })).events.length;
  const before = await count();
  const foreseen = await foreseeing(brokering)();
  expect(await brokering.decide()).toMatchObject({ kind: 'deny', hint: foreseen.hint });
  await vi.waitFor(async () => expect(await count()).toBeGreaterThan(before));
  expect(await count()).toBe(before + 1);
});
