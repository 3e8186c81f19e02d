import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseReach, type Reach, type RiskClass, riskClasses } from '#api';
import { newId } from '#kernel';
import type { Decision, Facts, Permission, Question } from './contract.ts';
import { decide } from './decide.ts';
import { explain } from './explain.ts';

const organization = newId('org');
const agent = newId('agt');
const owner = newId('usr');
const connection = newId('con');
const now = Date.UTC(2026, 0, 1);
const nothing: Reach = { classes: [], operations: [], patterns: [], everything: false };

let made = 0;

type PermissionParts = Partial<Omit<Permission, 'reach'>> & { readonly reach?: Reach | string };

function permission(parts: PermissionParts = {}): Permission {
  made += 1;
  const reach = parts.reach ?? 'read';
  return {
    id: newId('prm', now + made),
    organization,
    effect: 'allow',
    agent,
    owner: undefined,
    target: { kind: 'connection', id: connection },
    level: undefined,
    passCredential: false,
    expiresAt: undefined,
    createdAt: now,
    endedAt: undefined,
    ...parts,
    reach: typeof reach === 'string' ? parseReach(reach) : reach,
  };
}

const allow = (reach: Reach | string, parts: PermissionParts = {}) => permission({ ...parts, reach });
const deny = (reach: Reach | string, parts: PermissionParts = {}) => permission({ ...parts, reach, effect: 'deny' });

function factsOf(...permissions: readonly Permission[]): Facts {
  return {
    generation: 1,
    allow: permissions.filter(({ effect }) => effect === 'allow'),
    deny: permissions.filter(({ effect }) => effect === 'deny'),
  };
}

function question(parts: Partial<Question> = {}): Question {
  return {
    principal: { organization, subject: { kind: 'user', id: owner }, actors: [{ kind: 'agent', id: agent }] },
    agent: { id: agent, handle: 'coder', owner, confirmed: true },
    level: 'cooperative',
    connection: { id: connection, provider: 'github', name: 'work' },
    call: { method: 'GET', host: 'api.github.com', path: '/repos/a/b' },
    operation: undefined,
    ambiguous: false,
    at: now,
    ...parts,
  };
}

const operation = (id: string, ...classes: RiskClass[]) => ({ operation: { id, classes } });
const read = operation('repos.get', 'read');
const mint = operation('tokens.create', 'mint-credential');

type Row = readonly [
  rule: string,
  permissions: readonly Permission[],
  parts: Partial<Question>,
  verdict: 'allow' | Extract<Decision, { effect: 'deny' }>['reason'],
];

const rows: readonly Row[] = [
  ['nothing is allowed that no permission allows', [], read, 'no_permission'],
  ['a class allows an operation of that class', [allow('read')], read, 'allow'],
  ['a class allows no operation of another class', [allow('write')], read, 'no_permission'],
  ['write does not imply read, nor the other way round', [allow('read')], operation('x', 'write'), 'no_permission'],
  ['a named operation is allowed', [allow('op:repos.get')], read, 'allow'],
  ['another operation is not', [allow('op:repos.list')], read, 'no_permission'],
  ['a pattern allows what it matches', [allow('GET /repos/**')], {}, 'allow'],
  ['a pattern allows no other method', [allow('POST /repos/**')], {}, 'no_permission'],
  ['a pattern keeps to segment boundaries', [allow('/repo/**')], {}, 'no_permission'],
  ['a pattern allows an operation that it matches', [allow('/repos/**')], read, 'allow'],
  ['everything allows a call without operation', [allow('everything')], {}, 'allow'],
  ['everything allows an operation of several classes', [allow('everything')], operation('x', 'delete', 'move-money'), 'allow'],
  [
    'a call without operation satisfies no class, not even a GET the class read',
    [allow('read,write,delete,administer')],
    {},
    'no_permission',
  ],

  ['an operation of several classes needs all of them', [allow('read')], operation('x', 'read', 'write'), 'no_permission'],
  ['which one permission may give', [allow('read,write')], operation('x', 'read', 'write'), 'allow'],
  ['or several together', [allow('read'), allow('write')], operation('x', 'read', 'write'), 'allow'],
  ['but not if one of them has ended', [allow('read'), allow('write', { expiresAt: now })], operation('x', 'read', 'write'), 'ended'],

  ['mint-credential is not implied by everything', [allow('everything')], mint, 'mint_credential'],
  ['nor by a pattern, even one that names the exact path', [allow('GET /repos/a/b')], mint, 'mint_credential'],
  [
    'nor by all the other classes',
    [allow({ ...nothing, classes: riskClasses.filter((name) => name !== 'mint-credential') })],
    mint,
    'mint_credential',
  ],
  ['but by its own class', [allow('mint-credential')], mint, 'allow'],
  ['and by the named operation', [allow('op:tokens.create')], mint, 'allow'],
  [
    'of two classes it takes its own from its own',
    [allow('everything'), allow('mint-credential')],
    operation('x', 'write', 'mint-credential'),
    'allow',
  ],
  ['and does not give the other', [allow('mint-credential')], operation('x', 'write', 'mint-credential'), 'mint_credential'],

  ['a deny wins over an allow of the same reach', [allow('read'), deny('read')], read, 'denied_by_rule'],
  ['a deny wins over everything', [allow('everything'), deny('op:repos.get')], read, 'denied_by_rule'],
  ['a deny wins over a narrower allow', [allow('op:repos.get'), deny('everything')], read, 'denied_by_rule'],
  [
    'a deny of one class catches an operation of several',
    [allow('everything'), deny('delete')],
    operation('x', 'write', 'delete'),
    'denied_by_rule',
  ],
  ['a deny of a class catches a call that has none', [allow('everything'), deny('delete')], {}, 'denied_by_rule'],
  ['a deny of a class leaves operations of other classes alone', [allow('everything'), deny('delete')], read, 'allow'],
  ['a deny of an operation leaves other calls alone', [allow('everything'), deny('op:repos.delete')], {}, 'allow'],
  [
    'a deny of a path catches its other spellings',
    [allow('everything'), deny('/repos/secret/**')],
    { call: { method: 'GET', host: 'h', path: '/repos/s%65cret/x' } },
    'denied_by_rule',
  ],
  [
    'a deny of a provider wins over an allow of a connection',
    [allow('read'), deny('read', { target: { kind: 'provider', id: 'github' } })],
    read,
    'denied_by_rule',
  ],
  ['a deny that has ended denies nothing', [allow('read'), deny('read', { expiresAt: now })], read, 'allow'],
  ['a deny for another agent denies nothing', [allow('read'), deny('read', { agent: newId('agt') })], read, 'allow'],

  ['a permission of a provider covers its connections', [allow('read', { target: { kind: 'provider', id: 'github' } })], read, 'allow'],
  ['not those of another', [allow('read', { target: { kind: 'provider', id: 'gitlab' } })], read, 'no_permission'],
  [
    'a permission of another connection does not count',
    [allow('read', { target: { kind: 'connection', id: newId('con') } })],
    read,
    'no_permission',
  ],
  ['a permission of another agent does not count', [allow('read', { agent: newId('agt') })], read, 'no_permission'],

  ['a permission holds until it expires', [allow('read', { expiresAt: now + 1 })], read, 'allow'],
  ['and not from then on', [allow('read', { expiresAt: now })], read, 'ended'],
  ['nor when it was ended', [allow('read', { endedAt: now })], read, 'ended'],

  ['a permission may ask for a separated run', [allow('read', { level: 'separated' })], read, 'level'],
  ['which then has it', [allow('read', { level: 'separated' })], { ...read, level: 'separated' }, 'allow'],

  ['a permission for all agents of the owner covers a confirmed one', [allow('read', { agent: undefined, owner })], read, 'allow'],
  [
    'not one that is only claimed',
    [allow('read', { agent: undefined, owner })],
    { ...read, agent: { id: agent, handle: 'coder', owner, confirmed: false } },
    'no_permission',
  ],
  ['not one of another owner', [allow('read', { agent: undefined, owner: newId('usr') })], read, 'no_permission'],
  [
    'not one without owner',
    [allow('read', { agent: undefined, owner })],
    { ...read, agent: { id: agent, handle: 'coder', owner: undefined, confirmed: true } },
    'no_permission',
  ],
  [
    'nobody is covered by a permission for nobody',
    [allow('read', { agent: undefined })],
    { ...read, agent: { id: agent, handle: 'coder', owner: undefined, confirmed: true } },
    'no_permission',
  ],
  [
    'a deny for all agents catches one that is only claimed',
    [allow('read'), deny('read', { agent: undefined, owner })],
    { ...read, agent: { id: agent, handle: 'coder', owner, confirmed: false } },
    'denied_by_rule',
  ],

  ['an ambiguous call needs everything', [allow('everything')], { ambiguous: true }, 'allow'],
  ['a class does not reach it', [allow('read')], { ...read, ambiguous: true }, 'ambiguous'],
  ['nor a named operation', [allow('op:repos.get')], { ...read, ambiguous: true }, 'ambiguous'],
  ['nor a pattern', [allow('/**')], { ambiguous: true }, 'ambiguous'],
  ['nor everything, where anything is denied', [allow('everything'), deny('op:repos.delete')], { ambiguous: true }, 'ambiguous'],
  ['nor everything, if it may be a mint-credential', [allow('everything')], { ...mint, ambiguous: true }, 'ambiguous'],
];

describe('the decision', () => {
  it.each(rows)('%s', (_, permissions, parts, verdict) => {
    const decision = decide(factsOf(...permissions), question(parts));
    expect(decision.effect === 'allow' ? 'allow' : decision.reason).toBe(verdict);
  });

  it('names the permission that allowed or denied', () => {
    const [yes, no] = [allow('read'), deny('op:repos.get')];
    expect(decide(factsOf(yes), question(read))).toEqual({
      effect: 'allow',
      permission: yes.id,
      passCredential: false,
      expiresAt: undefined,
    });
    expect(decide(factsOf(yes, no), question(read))).toMatchObject({ effect: 'deny', permission: no.id });
    const late = allow('read', { expiresAt: now - 1 });
    expect(decide(factsOf(late), question(read))).toMatchObject({ reason: 'ended', permission: late.id });
    const high = allow('read', { level: 'separated' });
    expect(decide(factsOf(late, high), question(read))).toMatchObject({ reason: 'level', permission: high.id });
  });

  it('holds as long as the longest permission that suffices, and as the shortest of those it takes together', () => {
    const short = allow('read', { expiresAt: now + 1000 });
    const long = allow('read', { expiresAt: now + 2000 });
    expect(decide(factsOf(short, long), question(read))).toMatchObject({ permission: long.id, expiresAt: now + 2000 });
    const both = question(operation('x', 'read', 'write'));
    expect(decide(factsOf(short, allow('write')), both)).toMatchObject({ expiresAt: now + 1000 });
  });

  it("passes the agent's own credential only where a permission says so", () => {
    const passing = allow('read', { passCredential: true });
    expect(decide(factsOf(allow('read'), passing), question(read))).toMatchObject({ permission: passing.id, passCredential: true });
    const both = question(operation('x', 'read', 'write'));
    expect(decide(factsOf(passing, allow('write')), both)).toMatchObject({ passCredential: false });
  });
});

describe('a refusal names the exact command', () => {
  const command = (permissions: readonly Permission[], parts: Partial<Question>) => {
    const decision = decide(factsOf(...permissions), question(parts));
    return decision.effect === 'deny' ? decision.command : undefined;
  };

  it('for a class, several classes, an operation that mints, a path, an ambiguous call', () => {
    expect(command([], read)).toBe('gatehouse policy allow coder github/work --class read');
    expect(command([], operation('x', 'write', 'delete'))).toBe('gatehouse policy allow coder github/work --class write,delete');
    expect(command([allow('everything')], mint)).toBe('gatehouse policy allow coder github/work --operation tokens.create');
    expect(command([], {})).toBe("gatehouse policy allow coder github/work --path 'GET /repos/a/b'");
    expect(command([], { ambiguous: true })).toBe('gatehouse policy allow coder github/work --everything');
    expect(command([allow('read', { level: 'separated' })], read)).toBe('gatehouse run --isolate -- …');
    const no = deny('read');
    expect(command([no], read)).toBe(`gatehouse policy end ${no.id}`);
  });

  it('and nothing of what the agent sent that a shell could read as more', () => {
    const call = { method: "G'T", host: 'h', path: `/a'$(x)\`y\`/b;c/d e/"f"/\n/ü/ok/` };
    expect(command([], { call })).toBe("gatehouse policy allow coder github/work --path 'GT /*/*/*/*/*/*/ok/'");
    expect(command([], { call: { method: 'GET', host: 'h', path: `/${'x/'.repeat(5000)}` } })?.length).toBeLessThan(300);
    expect(command([], { call: { method: 'GET', host: 'h', path: `/${'x'.repeat(5000)}` } })).toBe(
      "gatehouse policy allow coder github/work --path 'GET /**'",
    );
  });

  it('which, once followed, allows the call', () => {
    const calls: Partial<Question>[] = [
      read,
      operation('x', 'write', 'delete'),
      mint,
      operation('y', 'write', 'mint-credential'),
      {},
      { ambiguous: true },
      { call: { method: 'GET', host: 'h', path: '/' } },
    ];
    for (const parts of calls) {
      const text = command([], parts) ?? '';
      const [, flag, value] = /--(class|operation|path|everything)(?: '?([^']*)'?)?$/.exec(text) ?? [];
      const reach = flag === 'everything' ? 'everything' : flag === 'operation' ? `op:${value}` : (value ?? '');
      expect(decide(factsOf(allow(reach)), question(parts)).effect).toBe('allow');
    }
  });
});

describe('the explanation', () => {
  it('says of each permission about the connection why it did or did not count', () => {
    const permissions = [
      allow('read'),
      allow('write'),
      allow('read', { expiresAt: now }),
      allow('read', { level: 'separated' }),
      allow('read', { agent: newId('agt') }),
      allow('read', { agent: undefined, owner }),
      deny('op:repos.get'),
      deny('op:other'),
      deny('read', { expiresAt: now }),
      allow('read', { target: { kind: 'provider', id: 'gitlab' } }),
    ];
    const { decision, considered } = explain(
      factsOf(...permissions),
      question({ ...read, agent: { id: agent, handle: 'coder', owner, confirmed: false } }),
    );
    expect(decision).toMatchObject({ effect: 'deny', reason: 'denied_by_rule' });
    expect(considered.map(({ applies, why }) => `${applies ? 'applies' : 'does not'}: ${why}`)).toEqual([
      'applies: it denies the call',
      'does not: it does not reach the call',
      'does not: it has ended',
      'applies: it allows the call',
      'does not: it does not give read',
      'does not: it has ended',
      'does not: it asks for a separated run',
      'does not: it is for another agent',
      'does not: it covers only agents that their owner has confirmed',
    ]);
  });

  it('tells apart what a reach lacks', () => {
    const why = (reach: string, parts: Partial<Question>) => explain(factsOf(allow(reach)), question(parts)).considered[0]?.why;
    expect(why('read', {})).toBe('no operation of the catalogue matches the call, so it has no class');
    expect(why('/other', {})).toBe('it does not reach the call');
    expect(why('everything', mint)).toBe('mint-credential comes of its own class or a named operation only');
    expect(why('read', { ...read, ambiguous: true })).toBe('the call could be read in two ways, which only everything allows');
    expect(why('read', operation('x', 'read', 'write'))).toBe('it reaches the call but does not give write');
    expect(explain(factsOf(deny('op:x')), question({ ambiguous: true })).considered[0]?.why).toBe(
      'the call could be read in two ways, so it may be what this denies',
    );
  });
});

const classes = fc.uniqueArray(fc.constantFrom(...riskClasses), { maxLength: 3 });
const operations = fc.uniqueArray(fc.constantFrom('repos.get', 'repos.delete', 'tokens.create'), { maxLength: 2 });
const paths = fc.constantFrom('/repos/**', '/repos/*/b', '/**', '/admin');
const patterns = fc.array(fc.record({ methods: fc.uniqueArray(fc.constantFrom('GET', 'POST'), { maxLength: 1 }), path: paths }), {
  maxLength: 2,
});
const anyPermission = fc
  .record({
    effect: fc.constantFrom<'allow' | 'deny'>('allow', 'allow', 'allow', 'deny'),
    everyAgent: fc.boolean(),
    target: fc.constantFrom<Permission['target']>(
      { kind: 'connection', id: connection },
      { kind: 'provider', id: 'github' },
      { kind: 'provider', id: 'gitlab' },
    ),
    reach: fc.record({ classes, operations, patterns, everything: fc.boolean() }),
    level: fc.constantFrom<undefined | 'separated'>(undefined, 'separated'),
    passCredential: fc.boolean(),
    expiresAt: fc.constantFrom(undefined, now - 1, now, now + 1),
  })
  .map(({ everyAgent, ...rest }) => permission({ ...rest, agent: everyAgent ? undefined : agent, owner: everyAgent ? owner : undefined }));
const anyQuestion = fc
  .record({
    level: fc.constantFrom<'separated' | 'cooperative'>('separated', 'cooperative'),
    confirmed: fc.boolean(),
    ambiguous: fc.boolean(),
    operation: fc.option(
      fc.record({
        id: fc.constantFrom('repos.get', 'tokens.create'),
        classes: fc.uniqueArray(fc.constantFrom(...riskClasses), { minLength: 1, maxLength: 3 }),
      }),
      { nil: undefined },
    ),
    method: fc.constantFrom('GET', 'POST'),
    path: fc.constantFrom('/repos/a/b', '/repos', '/admin', '/'),
  })
  .map(({ confirmed, method, path, ...rest }) =>
    question({ ...rest, agent: { id: agent, handle: 'coder', owner, confirmed }, call: { method, host: 'h', path } }),
  );
const manyPermissions = fc.array(anyPermission, { maxLength: 8 });

describe('for all permissions and calls', () => {
  const runs = { numRuns: 2000 };

  it('another allow never turns an allow into a deny', () => {
    fc.assert(
      fc.property(manyPermissions, anyPermission, anyQuestion, (permissions, more, asked) => {
        if (decide(factsOf(...permissions), asked).effect !== 'allow') return;
        expect(decide(factsOf(...permissions, { ...more, effect: 'allow' }), asked).effect).toBe('allow');
      }),
      runs,
    );
  });

  it('another deny never turns a deny into an allow', () => {
    fc.assert(
      fc.property(manyPermissions, anyPermission, anyQuestion, (permissions, more, asked) => {
        if (decide(factsOf(...permissions), asked).effect !== 'deny') return;
        expect(decide(factsOf(...permissions, { ...more, effect: 'deny' }), asked).effect).toBe('deny');
      }),
      runs,
    );
  });

  it('the order of permissions does not matter', () => {
    fc.assert(
      fc.property(manyPermissions, anyQuestion, (permissions, asked) => {
        const [one, other] = [decide(factsOf(...permissions), asked), decide(factsOf(...permissions.toReversed()), asked)];
        expect(other.effect).toBe(one.effect);
        if (one.effect === 'allow') expect(other).toMatchObject({ passCredential: one.passCredential, expiresAt: one.expiresAt });
      }),
      runs,
    );
  });

  it('what mints is allowed only by its class or its name, and never when ambiguous', () => {
    fc.assert(
      fc.property(manyPermissions, anyQuestion, (permissions, asked) => {
        const minting = asked.operation?.classes.includes('mint-credential') === true;
        if (!minting || decide(factsOf(...permissions), asked).effect !== 'allow') return;
        const names = permissions.filter(
          ({ reach }) => reach.classes.includes('mint-credential') || reach.operations.includes(asked.operation?.id ?? ''),
        );
        expect(names.length).toBeGreaterThan(0);
        expect(asked.ambiguous).toBe(false);
      }),
      runs,
    );
  });

  it('the same question over the same facts has the same answer, and the explanation agrees', () => {
    fc.assert(
      fc.property(manyPermissions, anyQuestion, (permissions, asked) => {
        const facts = factsOf(...permissions);
        const decision = decide(facts, asked);
        expect(decide(facts, asked)).toEqual(decision);
        const { considered, ...explained } = explain(facts, asked);
        expect(explained.decision).toEqual(decision);
        if (decision.effect === 'allow') expect(considered.find((one) => one.permission.id === decision.permission)?.applies).toBe(true);
      }),
      runs,
    );
  });
});
