import { newId } from '#kernel';
import type { Facts, Question } from '#policy';
import { compare, limit, type Row } from '../row.ts';
import { openLoad } from '../support/load.ts';
import { openParts } from '../support/parts.ts';
import { openSite, startOurs } from '../support/site.ts';

const rounds = 3;
const decisions = 200_000;
const calls = 4_800;

export async function measure(): Promise<readonly Row[]> {
  return [await decision(), await perCall()];
}

/** Microseconds of one decision for an agent with a hundred permissions of each of two effects. */
async function decision(): Promise<Row> {
  const parts = await openParts();
  const { policy, organization } = parts;
  const question = questionIn(organization.id);
  const facts = factsOf(question);
  const taken: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const began = process.cpuUsage();
    for (let i = 0; i < decisions; i++) if (policy.decide(facts, question).effect !== 'allow') throw new Error('it should be allowed');
    const { user, system } = process.cpuUsage(began);
    if (round > 0) taken.push((user + system) / decisions);
  }
  await parts.close();
  return limit('policy decision, 200 permissions', 'µs CPU', taken, '≤ 5');
}

function questionIn(organization: Question['principal']['organization']): Question {
  const agent = { id: newId('agt'), handle: 'bencher', owner: newId('usr'), confirmed: true };
  return {
    principal: { organization, subject: { kind: 'user', id: agent.owner }, actors: [{ kind: 'agent', id: agent.id }] },
    agent,
    level: 'cooperative',
    connection: { id: newId('con'), provider: 'bench-api', name: 'default' },
    call: { method: 'GET', host: 'api.example.com', path: '/v1/things/7' },
    operation: { id: 'read', classes: ['read'] },
    ambiguous: false,
    at: Date.now(),
  };
}

/** Four of a hundred are about the connection that is asked for. */
function factsOf({ principal, agent, connection, at }: Question): Facts {
  const make = (effect: 'allow' | 'deny') => (_: unknown, i: number) => ({
    id: newId('prm'),
    organization: principal.organization,
    effect,
    agent: agent.id,
    owner: undefined,
    target: { kind: 'connection' as const, id: i % 25 === 0 ? connection.id : newId('con') },
    reach: {
      classes: [],
      operations: [],
      patterns: [{ methods: [effect === 'allow' ? 'GET' : 'DELETE'], path: '/v1/**' }],
      everything: false,
    },
    level: undefined,
    passCredential: false,
    expiresAt: undefined,
    createdAt: at,
    endedAt: undefined,
  });
  const hundred = Array.from({ length: 100 });
  return { generation: 1, allow: hundred.map(make('allow')), deny: hundred.map(make('deny')) };
}

/** The same call with a thousand and with a million agents, connections and permissions of others. */
async function perCall(): Promise<Row> {
  const site = await openSite();
  try {
    const [few, many] = [await startOurs(site, { others: 1_000 }), await startOurs(site, { others: 1_000_000 })];
    const loads = await Promise.all([openLoad(few, 64), openLoad(many, 64)]);
    const taken: [number[], number[]] = [[], []];
    for (let round = 0; round <= rounds; round++) {
      for (const [at, load] of loads.entries()) {
        const each = await load.measure(calls);
        if (round > 0) taken[at]?.push(each);
      }
    }
    for (const load of loads) load.close();
    for (const one of [few, many]) await one.stop();
    const [other, ours] = taken;
    const name = 'call with 1 M agents, connections, permissions';
    return compare({ name, unit: 'µs CPU', ours, against: 'with 1 k', other, budget: '≤ 1.2' });
  } finally {
    await site.close();
  }
}
