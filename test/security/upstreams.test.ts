import { beforeAll, describe, expect, test } from 'vitest';
import { giveUpstream, type IdentityProvider, type Saying, startIdentityProvider, upstreamDraft } from '../support/identity-provider.ts';
import { completeTestSetup, createTestUser, testIssuer, testPassword } from '../support/people.ts';
import { openServing, post, type Received, type Serving } from '../support/serving.ts';

let honest: IdentityProvider;
let attacker: IdentityProvider;
let serving: Serving;

beforeAll(async () => {
  honest = await startIdentityProvider();
  attacker = await startIdentityProvider();
  serving = await openServing({ ports: [honest.port, attacker.port] });
  await completeTestSetup(serving.people, 'root@example.com');
  await giveUpstream(serving.people, upstreamDraft(honest.issuer, { domains: ['corp.example'], signUp: true }));
  await giveUpstream(serving.people, upstreamDraft(attacker.issuer, { name: 'other', label: 'Other', domains: ['*'], signUp: true }));
});

/** A browser before it is signed in: its cookies, and what its forms carry. */
interface Visitor {
  cookies: Map<string, string>;
}

const newVisitor = (): Visitor => ({ cookies: new Map() });
const cookieOf = ({ cookies }: Visitor) => [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');

function keep(visitor: Visitor, answer: Received): Received {
  for (const cookie of [answer.headers['set-cookie'] ?? []].flat()) {
    const [pair = ''] = cookie.split(';');
    visitor.cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
  }
  return answer;
}

const open = async (visitor: Visitor, path: string) => keep(visitor, await serving.send({ path, headers: { cookie: cookieOf(visitor) } }));

/** To an upstream: the address there. */
async function leave(visitor: Visitor, upstream = 'corp', next = '/device', more: Readonly<Record<string, string>> = {}): Promise<string> {
  const page = await open(visitor, `/signin?again=yes&next=${encodeURIComponent(next)}`);
  const token = /name="form_token" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  const answer = await post(serving, { cookie: cookieOf(visitor), token }, '/signin/upstream', { upstream, next, ...more });
  keep(visitor, answer);
  const to = /content="0;url=([^"]+)"/.exec(answer.text)?.[1]?.replaceAll('&amp;', '&');
  if (to === undefined) throw new Error(`did not leave: ${answer.status} ${answer.text}`);
  return to;
}

const back = (visitor: Visitor, parameters: URLSearchParams, upstream = 'corp') =>
  open(visitor, `/signin/callback/${upstream}?${parameters.toString()}`);

const ada = { sub: 'ada', email: 'ada@corp.example', email_verified: true, name: 'Ada' };
const isSignedIn = ({ cookies }: Visitor) => cookies.has('__Host-gatehouse_session');

/** The whole way, with what the upstream says. */
async function signIn(saying: Saying, upstream = 'corp', idp = honest): Promise<{ answer: Received; visitor: Visitor }> {
  const visitor = newVisitor();
  const answer = await back(visitor, idp.answer(await leave(visitor, upstream), saying), upstream);
  return { answer, visitor };
}

const users = async () => (await serving.people.identity.users(serving.people.organization.id, { limit: 200 })).items;

describe('signing in through an upstream', () => {
  test('brings a person in, to where they wanted to go, as the same user each time', async () => {
    const first = await signIn({ claims: ada });
    expect([first.answer.status, first.answer.headers.location]).toEqual([303, `${testIssuer}/device`.replace(testIssuer, '')]);
    expect((await open(first.visitor, '/device')).text).toContain('ada@corp.example');
    expect((await open(first.visitor, '/account')).text).toContain('A browser, from 127.0.0.1');
    const before = (await users()).length;
    const second = await signIn({ claims: { ...ada, email: 'renamed@corp.example' } });
    expect(isSignedIn(second.visitor)).toBe(true);
    expect((await open(second.visitor, '/device')).text).toContain('ada@corp.example');
    expect(await users()).toHaveLength(before);
  });

  test('takes the address from userinfo where the ID token has none', async () => {
    const { visitor } = await signIn({ claims: { sub: 'eve' }, userinfo: { ...ada, sub: 'eve', email: 'eve@corp.example' } });
    expect((await open(visitor, '/device')).text).toContain('eve@corp.example');
  });

  test('asks for the password there again where that is wanted, and does not believe that it did without being told so', async () => {
    const visitor = newVisitor();
    const to = new URL(await leave(visitor, 'corp', '/device', { again: 'yes' }));
    expect([to.searchParams.get('prompt'), to.searchParams.get('max_age')]).toEqual(['login', '0']);
    const refused = await back(visitor, honest.answer(to.href, { claims: ada }));
    expect([refused.status, isSignedIn(visitor)]).toEqual([502, false]);
    const asked = await leave(visitor, 'corp', '/device', { again: 'yes' });
    await back(visitor, honest.answer(asked, { claims: { ...ada, auth_time: Math.floor(Date.now() / 1000) } }));
    expect(isSignedIn(visitor)).toBe(true);
  });

  test('goes on to a page of ours alone, whatever the form says', async () => {
    for (const next of ['https://evil.example/', '//evil.example/', '/\\evil.example', 'javascript:alert(1)']) {
      const visitor = newVisitor();
      const answer = await back(visitor, honest.answer(await leave(visitor, 'corp', next), { claims: ada }));
      expect(answer.headers.location).toBe('/');
    }
  });
});

describe('a state', () => {
  test('is good once, also for the browser that it was made for', async () => {
    const visitor = newVisitor();
    const parameters = honest.answer(await leave(visitor), { claims: ada });
    expect((await back(visitor, parameters)).status).toBe(303);
    const again = newVisitor();
    again.cookies.set('__Host-gatehouse_browser', visitor.cookies.get('__Host-gatehouse_browser') ?? '');
    expect([(await back(again, parameters)).status, isSignedIn(again)]).toEqual([410, false]);
  });

  test('makes one session of fifty that bring it at once', async () => {
    const visitor = newVisitor();
    const parameters = honest.answer(await leave(visitor), { claims: ada });
    const answers = await Promise.all(Array.from({ length: 50 }, () => back({ cookies: new Map(visitor.cookies) }, parameters)));
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 410)).toHaveLength(49);
  });

  test('is no good in another browser, nor in one without a cookie', async () => {
    for (const foreign of [newVisitor(), await signIn({ claims: ada }).then(({ visitor }) => ({ cookies: visitor.cookies }))]) {
      foreign.cookies.delete('__Host-gatehouse_session');
      const victim = newVisitor();
      const parameters = honest.answer(await leave(victim), { claims: ada });
      expect([(await back(foreign, parameters)).status, isSignedIn(foreign)]).toEqual([410, false]);
    }
  });

  test('is no good at the callback of another upstream, nor in another organization', async () => {
    const visitor = newVisitor();
    const parameters = honest.answer(await leave(visitor), { claims: ada });
    expect([(await back(visitor, parameters, 'other')).status, isSignedIn(visitor)]).toEqual([410, false]);
  });

  test.each(['', 'state=a&state=b', 'state=unknown&code=x'])('is refused where it is missing, doubled or unknown: %j', async (query) => {
    expect((await open(newVisitor(), `/signin/callback/corp?${query}`)).status).toBe(410);
  });
});

describe('mixed-up upstreams', () => {
  test('never get the code of another: an answer names its issuer, and it is not the one that was asked', async () => {
    const visitor = newVisitor();
    const asked = new URL(await leave(visitor, 'other'));
    const code = honest.answer(`${honest.issuer}/authorize${asked.search}`, { claims: ada });
    const before = attacker.tokenRequests.length;
    expect((await back(visitor, code, 'other')).status).toBe(502);
    expect([isSignedIn(visitor), attacker.tokenRequests.length]).toEqual([false, before]);
  });

  test('are refused too where the answer leaves out the issuer that the metadata promise', async () => {
    const visitor = newVisitor();
    const parameters = honest.answer(await leave(visitor), { claims: ada });
    parameters.delete('iss');
    expect([(await back(visitor, parameters)).status, isSignedIn(visitor)]).toEqual([502, false]);
  });

  test('name people apart: the same subject at two upstreams is two people', async () => {
    const one = await signIn({ claims: { sub: 'shared', email: 'first@corp.example', email_verified: true } });
    const two = await signIn({ claims: { sub: 'shared', email: 'second@else.example', email_verified: true } }, 'other', attacker);
    expect((await open(one.visitor, '/device')).text).toContain('first@corp.example');
    expect((await open(two.visitor, '/device')).text).toContain('second@else.example');
  });
});

describe('an ID token', () => {
  const now = () => Math.floor(Date.now() / 1000);
  test.each<[string, () => Saying]>([
    ['with another nonce', () => ({ claims: { ...ada, nonce: 'another' } })],
    ['without a nonce', () => ({ claims: { ...ada, nonce: undefined } })],
    ['for another client', () => ({ claims: { ...ada, aud: 'another' } })],
    ['for several clients, without naming ours', () => ({ claims: { ...ada, aud: ['our-client', 'another'], azp: 'another' } })],
    ['of another issuer', () => ({ claims: { ...ada, iss: 'https://accounts.google.com' } })],
    ['that has expired', () => ({ claims: { ...ada, exp: now() - 3600 } })],
    ['without an end', () => ({ claims: { ...ada, exp: undefined } })],
    ['without a subject', () => ({ claims: { ...ada, sub: undefined } })],
    ['with no signature', () => ({ claims: ada, unsigned: true })],
    ['signed with a key of somebody else', () => ({ claims: ada, foreignKey: true })],
    ['signed with a key that is not published', () => ({ claims: ada, header: { kid: 'k2' } })],
    ['with an extension that nobody knows', () => ({ claims: ada, header: { crit: ['exp'] } })],
  ])('%s signs nobody in', async (_, saying) => {
    const visitor = newVisitor();
    const parameters = honest.answer(await leave(visitor), saying());
    expect([(await back(visitor, parameters)).status, isSignedIn(visitor)]).toEqual([502, false]);
  });

  test('does not go with the userinfo of somebody else', async () => {
    const { answer, visitor } = await signIn({ claims: { sub: 'mallory' }, userinfo: { ...ada, email: 'root@example.com' } });
    expect([answer.status, isSignedIn(visitor)]).toEqual([502, false]);
  });
});

describe('taking over an account', () => {
  const refused = async (claims: Saying['claims'] & object, upstream = 'corp', idp = honest) => {
    const { answer, visitor } = await signIn({ claims }, upstream, idp);
    expect(isSignedIn(visitor)).toBe(false);
    return [answer.status, answer.text.includes('That account is not linked to anybody here')];
  };

  test('fails with an address that the upstream did not verify', async () => {
    await createTestUser(serving.people, 'victim@corp.example');
    for (const verified of [false, undefined, 'false', 0, null])
      expect(await refused({ sub: 'thief', email: 'victim@corp.example', email_verified: verified })).toEqual([403, true]);
  });

  test('fails with a verified address of a domain that the upstream is not trusted about', async () => {
    expect(await refused({ sub: 'thief', email: 'root@example.com', email_verified: true })).toEqual([403, true]);
  });

  test('fails at an upstream that is trusted about everybody: it can bring new people, and nobody who is here', async () => {
    expect(await refused({ sub: 'thief', email: 'root@example.com', email_verified: true }, 'other', attacker)).toEqual([403, true]);
  });

  test.each([
    'victim@corp.example.evil.example',
    'victim@evil-corp.example',
    'victim@sub.corp.example',
    'a@b@corp.example',
    'victim@CORP.example\u202e',
  ])('fails with an address that only looks like one of the domain: %s', async (email) => {
    expect(await refused({ sub: 'thief', email, email_verified: true })).toEqual([403, true]);
  });

  test('looks the same whether or not there is somebody with that address', async () => {
    const text = async (email: string) => {
      const { answer } = await signIn({ claims: { sub: email, email, email_verified: false } });
      return answer.text.replaceAll(/value="[^"]*"/g, '');
    };
    expect(await text('victim@corp.example')).toBe(await text('nobody@corp.example'));
  });

  test('succeeds for its owner, whose verified address is of the domain that the administrator named', async () => {
    const { visitor } = await signIn({ claims: { sub: 'owner', email: 'Victim@corp.example', email_verified: true } });
    expect((await open(visitor, '/device')).text).toContain('victim@corp.example');
  });

  test.each(['owner', 'administrator'] as const)(
    'fails for an %s, whom an administrator could else sign in as by an upstream of their own',
    async (role) => {
      const email = `${role}@corp.example`;
      await createTestUser(serving.people, email, role);
      expect(await refused({ sub: `the ${role}`, email, email_verified: true })).toEqual([403, true]);
    },
  );

  test('fails once the person is suspended', async () => {
    const { people } = serving;
    const victim = await people.identity.userByEmail(people.organization.id, 'victim@corp.example');
    const owner = await people.identity.owner(people.organization.id);
    if (victim === undefined || owner === undefined) throw new Error('nobody is there');
    await people.identity.suspendUser({ organization: owner.organization, subject: { kind: 'user', id: owner.id }, actors: [] }, victim.id);
    expect(await refused({ sub: 'owner', email: 'victim@corp.example', email_verified: true })).toEqual([403, true]);
  });
});

describe('linking an account', () => {
  async function personWith(email: string): Promise<Visitor> {
    await createTestUser(serving.people, email);
    const visitor = newVisitor();
    const { organization, signin } = serving.people;
    const { bearer } = await signin.signIn(organization.id, email, testPassword, '127.0.0.1', undefined);
    visitor.cookies.set('__Host-gatehouse_session', bearer.reveal());
    return visitor;
  }
  const tokenOf = async (visitor: Visitor, path: string) =>
    /name="form_token" value="([^"]+)"/.exec((await open(visitor, path)).text)?.[1] ?? '';
  const say = async (visitor: Visitor, action: 'link' | 'unlink', fields: Readonly<Record<string, string>>) => {
    const token = await tokenOf(visitor, '/account/sign-in');
    return keep(visitor, await post(serving, { cookie: cookieOf(visitor), token }, `/account/sign-in/${action}`, fields));
  };
  const toOf = (answer: Received) => /content="0;url=([^"]+)"/.exec(answer.text)?.[1]?.replaceAll('&amp;', '&') ?? '';

  test('takes the password of the last minutes, and then lets that account in, until it is unlinked', async () => {
    const visitor = await personWith('linker@example.com');
    await serving.people.pass(6 * 60_000);
    const asked = await say(visitor, 'link', { upstream: 'corp' });
    expect([asked.status, toOf(asked), asked.text.includes('Your password, once more')]).toEqual([200, '', true]);
    expect((await say(visitor, 'link', { upstream: 'corp', password: 'not mine' })).status).toBe(403);
    const left = await say(visitor, 'link', { upstream: 'corp', password: testPassword.reveal() });
    const claims = { sub: 'private', email: 'private@elsewhere.example', email_verified: false };
    expect((await back(visitor, honest.answer(toOf(left), { claims }))).headers.location).toBe('/account/sign-in');
    expect((await open(visitor, '/account/sign-in')).text).toContain('private@elsewhere.example');
    const { visitor: later } = await signIn({ claims });
    const page = await open(later, '/account/sign-in');
    expect(page.text).toContain('linker@example.com');
    const method = /name="method" value="(sim_[^"]+)"/.exec(page.text)?.[1] ?? '';
    expect((await say(visitor, 'unlink', { method, password: testPassword.reveal() })).headers.location).toBe('/account/sign-in');
    expect(isSignedIn((await signIn({ claims })).visitor)).toBe(false);
  });

  test('is not done to a person by an answer that somebody else began', async () => {
    const mallory = await personWith('mallory@example.com');
    const victim = await personWith('target@example.com');
    const left = await say(mallory, 'link', { upstream: 'corp' });
    const parameters = honest.answer(toOf(left), { claims: { sub: 'mallory-account' } });
    victim.cookies.set('__Host-gatehouse_browser', mallory.cookies.get('__Host-gatehouse_browser') ?? '');
    expect((await back(victim, parameters)).status).toBe(410);
    expect((await open(victim, '/account/sign-in')).text).toContain('You sign in with your password');
  });

  test('is refused where somebody else has that account', async () => {
    const first = await personWith('first-owner@example.com');
    const second = await personWith('second-owner@example.com');
    const claims = { sub: 'contested' };
    await back(first, honest.answer(toOf(await say(first, 'link', { upstream: 'corp' })), { claims }));
    expect((await back(second, honest.answer(toOf(await say(second, 'link', { upstream: 'corp' })), { claims }))).status).toBe(409);
  });

  test('leaves the last way in, whoever ends two at once', async () => {
    const { visitor } = await signIn({
      claims: { sub: 'only', email: 'only@corp.example', email_verified: true, auth_time: Math.floor(serving.people.clock.now() / 1000) },
    });
    await back(visitor, attacker.answer(toOf(await say(visitor, 'link', { upstream: 'other' })), { claims: { sub: 'only-too' } }), 'other');
    const page = await open(visitor, '/account/sign-in');
    const methods = [...page.text.matchAll(/name="method" value="(sim_[^"]+)"/g)].map(([, id]) => id ?? '');
    expect(methods).toHaveLength(2);
    const answers = await Promise.all(methods.map((method) => say(visitor, 'unlink', { method })));
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 409]);
  });
});
