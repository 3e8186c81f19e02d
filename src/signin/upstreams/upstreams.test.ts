import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import OidcProvider from 'oidc-provider';
import { afterAll, describe, expect, test } from 'vitest';
import { createIdentity } from '#identity';
import { type FaultCode, Secret, silentLog } from '#kernel';
import { createSignin, type Session, type Signin, type Started } from '#signin';
import { openTestAudit } from '../../../test/support/audit.ts';
import {
  giveUpstream,
  type IdentityProvider,
  startIdentityProvider,
  testClient,
  upstreamDraft,
} from '../../../test/support/identity-provider.ts';
import { testNet } from '../../../test/support/net.ts';
import { createTestUser, openPeople, type People, testIssuer, testPassword } from '../../../test/support/people.ts';
import { openTestStore } from '../../../test/support/store.ts';
import { openTestVault } from '../../../test/support/vault.ts';
import { authenticationOf } from './credentials.ts';
import { presets } from './presets.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });
const closing: (() => void)[] = [];
afterAll(() => {
  for (const close of closing) close();
});

const binding = 'one browser';
const address = '127.0.0.1';

async function begin(signin: Signin, people: People, upstream = 'corp', again = false): Promise<string> {
  const departure = { organization: people.organization.id, upstream, binding, next: '/', again, link: undefined, address };
  return (await signin.upstreams.begin(departure)).to;
}

function complete(signin: Signin, people: People, parameters: URLSearchParams, upstream = 'corp', session?: Session) {
  const organization = people.organization.id;
  return signin.upstreams.complete({ organization, at: { upstream }, parameters, binding, session, address, label: '' });
}

/** Somebody of corp.example signs in through it, in a browser that has this session. */
async function comesIn(people: People, idp: IdentityProvider, name: string, session?: Session): Promise<Started> {
  const claims = { sub: name, email: `${name}@corp.example`, email_verified: true };
  const arrived = await complete(people.signin, people, idp.answer(await begin(people.signin, people), { claims }), 'corp', session);
  if (arrived.kind !== 'signed_in') throw new Error(arrived.kind);
  return arrived.started;
}

async function users(people: People) {
  return (await people.identity.users(people.organization.id, { limit: 200 })).items;
}

/** Another server of the installation. */
async function secondServer(people: People, ports: readonly number[]): Promise<Signin> {
  const store = await openTestStore({ home: people.store.home, clock: people.clock, ephemera: 'sql' });
  const vault = await openTestVault(store, { keyring: people.keyring });
  const deps = { ...store, vault, audit: await openTestAudit(store, { vault }), log: silentLog };
  const outward = { net: testNet(ports, store.clock), publicUrl: testIssuer };
  return createSignin({ ...deps, ...outward, identity: createIdentity(deps) });
}

/** A server that takes connections and never answers. */
async function startSilent(): Promise<number> {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return (server.address() as AddressInfo).port;
}

describe('first sign-ins', () => {
  test('a hundred of one person at once, over two servers, make one user', async () => {
    const idp = await startIdentityProvider();
    const people = await openPeople({ ports: [idp.port], store: { ephemera: 'sql' } });
    await giveUpstream(people, upstreamDraft(idp.issuer, { domains: ['corp.example'], signUp: true }));
    const servers = [people.signin, await secondServer(people, [idp.port])] as const;
    const claims = { sub: 'ada', email: 'ada@corp.example', email_verified: true };
    const rate = Array.from({ length: 100 }, (_, at) => servers[at % 2] as Signin);
    const left = await Promise.all(rate.map((signin) => begin(signin, people)));
    // Each comes back to the other server than the one it left from.
    const arrived = await Promise.all(left.map((to, at) => complete(servers[(at + 1) % 2] as Signin, people, idp.answer(to, { claims }))));
    expect(arrived.map(({ kind }) => kind)).toEqual(rate.map(() => 'signed_in'));
    const [ada, ...more] = await users(people);
    expect([ada?.email, more]).toEqual(['ada@corp.example', []]);
    expect(new Set(arrived.map((one) => (one.kind === 'signed_in' ? one.started.session.user.id : one.kind)))).toEqual(new Set([ada?.id]));
  }, 60_000);

  test('make nobody where the upstream may not bring people, which is so unless it is said', async () => {
    const idp = await startIdentityProvider();
    const people = await openPeople({ ports: [idp.port] });
    await giveUpstream(people, upstreamDraft(idp.issuer, { domains: ['corp.example'] }));
    const claims = { sub: 'ada', email: 'ada@corp.example', email_verified: true };
    const arrived = await complete(people.signin, people, idp.answer(await begin(people.signin, people), { claims }));
    expect(arrived).toMatchObject({ kind: 'refused', fault: { code: 'account_unknown' } });
    expect(await users(people)).toEqual([]);
    await createTestUser(people, 'ada@corp.example');
    expect(await complete(people.signin, people, idp.answer(await begin(people.signin, people), { claims }))).toMatchObject({
      kind: 'signed_in',
    });
    expect(people.audit.drafts.map(({ name }) => name)).toEqual(expect.arrayContaining(['sign_in.failed', 'sign_in_method.added']));
  });
});

test('why an upstream is not believed is told to the operator, and not to who signs in', async () => {
  const told: string[] = [];
  const log = { ...silentLog, warn: (message: string, fields?: object) => void told.push(`${message} ${JSON.stringify(fields)}`) };
  const idp = await startIdentityProvider();
  const people = await openPeople({ ports: [idp.port], log });
  await giveUpstream(people, upstreamDraft(idp.issuer));
  const answer = idp.answer(await begin(people.signin, people), { claims: { sub: 'ada' }, foreignKey: true });
  const arrived = await complete(people.signin, people, answer);
  expect(arrived).toMatchObject({ kind: 'refused', fault: { details: { detail: 'The answer of Corp cannot be believed' } } });
  expect(told).toEqual([expect.stringMatching(/^a sign-in through an upstream failed .*"upstream":"corp".*signature/)]);
});

describe('who signs in once more in the same browser', () => {
  test('goes on with what hangs on their session, under another bearer value; somebody else does not', async () => {
    const idp = await startIdentityProvider();
    const people = await openPeople({ ports: [idp.port] });
    await giveUpstream(people, upstreamDraft(idp.issuer, { domains: ['corp.example'], signUp: true }));
    const heard: string[] = [];
    people.signin.whenEnded(async (_, { sid }) => void heard.push(sid));
    const first = await comesIn(people, idp, 'ada');
    const second = await comesIn(people, idp, 'ada', first.session);
    expect([second.session.sid, heard]).toEqual([first.session.sid, []]);
    await expect(people.signin.session(people.organization.id, first.bearer.reveal(), 'browser')).rejects.toEqual(fault('unauthenticated'));
    const other = await comesIn(people, idp, 'bob', second.session);
    expect(other.session.sid).toBe(other.session.id);
    expect(heard).toEqual([first.session.sid]);
  });
});

describe('a failing upstream', () => {
  const draft = (idp: Pick<IdentityProvider, 'issuer'>, name: string) => upstreamDraft(idp.issuer, { name, label: name });

  test('is not offered, holds nothing up and fails alone, whether it refuses, is silent or talks nonsense', async () => {
    const good = await startIdentityProvider();
    const dead = await startIdentityProvider();
    dead.close();
    const silent = await startSilent();
    const ports = [good.port, dead.port, silent];
    const people = await openPeople({ ports });
    await giveUpstream(people, draft(good, 'good'));
    await giveUpstream(people, draft(dead, 'dead'));
    await giveUpstream(people, draft({ issuer: `http://localhost:${silent}` }, 'silent'));
    await giveUpstream(people, draft({ issuer: `${good.issuer}/nothing/here` }, 'nonsense'));
    const { upstreams } = people.signin;
    const began = performance.now();
    const first = await upstreams.offered(people.organization.id);
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(first.find(({ name }) => name === 'good')?.works).toBe(true);
    people.clock.advance(300);
    const again = performance.now();
    const offered = await upstreams.offered(people.organization.id);
    expect(performance.now() - again).toBeLessThan(500);
    expect(offered.map(({ name, works }) => [name, works])).toEqual([
      ['good', true],
      ['dead', false],
      ['silent', false],
      ['nonsense', false],
    ]);
    await expect(begin(people.signin, people, 'dead')).rejects.toEqual(fault('upstream_unreachable'));
    expect(await begin(people.signin, people, 'good')).toContain(good.issuer);
  });

  test('is left in peace after it failed, twice as long each time, and is back once it answers', async () => {
    const idp = await startIdentityProvider();
    const people = await openPeople({ ports: [idp.port] });
    await giveUpstream(people, draft(idp, 'corp'));
    const { upstreams } = people.signin;
    const works = async () => (await upstreams.offered(people.organization.id))[0]?.works;
    idp.broken = true;
    expect(await works()).toBe(false);
    idp.broken = false;
    expect(await works()).toBe(false);
    await people.pass(5_001);
    expect(await works()).toBe(true);
    idp.broken = true;
    await people.pass(60 * 60_000);
    // What is known is used on while it cannot be had anew.
    expect(await begin(people.signin, people)).toContain(idp.issuer);
  });
});

test('a real OpenID provider (oidc-provider) signs people in, with PKCE, nonce, and its issuer in the answer', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  const { port } = server.address() as AddressInfo;
  const issuer = `http://localhost:${port}`;
  const provider = new OidcProvider(issuer, {
    clients: [
      {
        client_id: testClient.id,
        client_secret: testClient.secret,
        redirect_uris: [`${testIssuer}/signin/callback/corp`],
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
    ],
    features: { devInteractions: { enabled: true } },
    pkce: { required: () => true },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    cookies: { keys: ['one-key-for-tests-only'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@corp.example`, email_verified: true, name: 'Ada' }),
    }),
  });
  server.on('request', provider.callback());
  const people = await openPeople({ ports: [port] });
  await giveUpstream(people, upstreamDraft(issuer, { domains: ['corp.example'], signUp: true }));
  expect(await people.signin.upstreams.test(people.organization.id, 'corp')).toEqual([
    expect.objectContaining({ what: 'metadata', holds: true }),
    expect.objectContaining({ what: 'keys', holds: true }),
    expect.objectContaining({ what: 'client', holds: true }),
  ]);
  for (const again of [false, true]) {
    const back = await walk(await begin(people.signin, people, 'corp', again));
    const arrived = await complete(people.signin, people, back.searchParams);
    expect(arrived).toMatchObject({
      kind: 'signed_in',
      started: { session: { user: { email: 'ada@corp.example', name: 'Ada', role: 'member' } } },
    });
  }
});

/** A browser of few words: follows redirects, keeps cookies, signs in and agrees wherever it is asked. */
async function walk(start: string): Promise<URL> {
  const cookies = new Map<string, string>();
  let next: { url: string; form?: URLSearchParams } = { url: start };
  for (let step = 0; step < 20; step++) {
    if (next.url.startsWith(testIssuer)) return new URL(next.url);
    const answer = await fetch(next.url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(next.form === undefined ? {} : { method: 'POST', body: next.form }),
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [pair = ''] = cookie.split(';');
      cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    const location = answer.headers.get('location');
    const page = location === null ? await answer.text() : '';
    const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1]?.replaceAll('&amp;', '&') ?? '';
    const inputs = new URLSearchParams();
    for (const [input] of page.matchAll(/<input[^>]*>/g))
      inputs.set(/name="([^"]+)"/.exec(input)?.[1] ?? '', /value="([^"]*)"/.exec(input)?.[1] ?? 'ada');
    next = location === null ? { url: new URL(action, next.url).href, form: inputs } : { url: new URL(location, next.url).href };
  }
  throw new Error('it never comes to an end');
}

describe('GitHub', () => {
  /** As much of it as signing in takes. */
  async function startGithub(person: object, emails: unknown): Promise<string> {
    const server = createServer((request, response) => {
      const path = (request.url ?? '').split('?')[0];
      const answers: Readonly<Record<string, unknown>> = {
        '/login/oauth/access_token': { access_token: 'gho_1', token_type: 'bearer', scope: 'read:user,user:email' },
        '/api/v3/user': person,
        '/api/v3/user/emails': emails,
      };
      const trusted = path === '/login/oauth/access_token' || request.headers.authorization === 'Bearer gho_1';
      response.writeHead(trusted ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(answers[path ?? '']));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(
      () => server.closeAllConnections(),
      () => server.close(),
    );
    return `http://localhost:${(server.address() as AddressInfo).port}`;
  }

  async function signInThere(person: object, emails: unknown) {
    const issuer = await startGithub(person, emails);
    const people = await openPeople({ ports: [Number(new URL(issuer).port)] });
    await giveUpstream(people, upstreamDraft(issuer, { name: 'github', kind: 'github', domains: ['corp.example'], signUp: true }));
    const to = new URL(await begin(people.signin, people, 'github'));
    expect([to.pathname, to.searchParams.get('scope'), to.searchParams.get('nonce')]).toEqual([
      '/login/oauth/authorize',
      'read:user user:email',
      null,
    ]);
    const back = new URLSearchParams({ code: 'c', state: to.searchParams.get('state') ?? '' });
    return { people, arrived: await complete(people.signin, people, back, 'github') };
  }

  const primary = { email: 'ada@corp.example', primary: true, verified: true };
  test('names people by the number of their account, and their address by what it verified', async () => {
    const { arrived } = await signInThere({ id: 7, login: 'ada', name: null, email: 'boss@corp.example' }, [
      { ...primary, email: 'x@y.example', primary: false },
      primary,
    ]);
    expect(arrived).toMatchObject({ kind: 'signed_in', started: { session: { user: { email: 'ada@corp.example', name: 'ada' } } } });
  });

  test.each([
    ['an address that is not verified', { id: 7, login: 'ada' }, [{ ...primary, verified: false }], 'account_unknown'],
    ['the address of the profile alone', { id: 7, login: 'ada', email: 'ada@corp.example', email_verified: true }, [], 'account_unknown'],
    ['an account without a number', { login: 'ada' }, [primary], 'upstream_sign_in_failed'],
    ['an account whose number is text', { id: '7', login: 'ada' }, [primary], 'upstream_sign_in_failed'],
  ])('lets nobody in by %s', async (_, person, emails, code) => {
    const { arrived, people } = await signInThere(person, emails);
    expect(arrived).toMatchObject({ kind: 'refused', fault: { code } });
    expect(await users(people)).toEqual([]);
  });
});

describe('what a kind of upstream vouches for', () => {
  const verified = { email_verified: true };
  test.each([
    ['google', { ...verified, email: 'a@gmail.com' }, true],
    ['google', { ...verified, email: 'a@corp.example', hd: 'corp.example' }, true],
    ['google', { ...verified, email: 'a@corp.example' }, false],
    ['google', { ...verified, email: 'a@corp.example', hd: 'other.example' }, false],
    ['google', { email: 'a@gmail.com' }, false],
    ['microsoft', { ...verified, email: 'a@corp.example' }, false],
    ['microsoft', { email: 'a@corp.example', xms_edov: true }, true],
    ['apple', { email_verified: 'true' }, true],
    ['apple', { email_verified: 'false' }, false],
  ] as const)('%s: %j', (kind, claims, vouches) => {
    expect(presets[kind].vouches(claims)).toBe(vouches);
  });

  test('Slack names people by workspace and user', () => {
    expect(presets.slack.subject({ sub: 'U1', 'https://slack.com/team_id': 'T1', 'https://slack.com/user_id': 'U1' })).toBe('T1 U1');
    expect(presets.slack.subject({ sub: 'U1' })).toBeUndefined();
  });
});

test('Apple’s client secret is an assertion of minutes, signed with the key that Apple gave', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = new Secret(String(privateKey.export({ type: 'pkcs8', format: 'pem' })));
  const authenticate = await authenticationOf({ issuer: 'https://appleid.apple.com' }, 'com.example.signin', {
    kind: 'apple_key',
    team: 'TEAM123456',
    key: 'KEY1234567',
    pem,
  });
  const body = new URLSearchParams();
  authenticate({ issuer: 'https://appleid.apple.com' }, { client_id: 'com.example.signin' }, body, new Headers());
  const { payload, protectedHeader } = await jwtVerify(body.get('client_secret') ?? '', publicKey, {
    audience: 'https://appleid.apple.com',
  });
  expect([payload.iss, payload.sub, protectedHeader.kid]).toEqual(['TEAM123456', 'com.example.signin', 'KEY1234567']);
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(300);
});

describe('an upstream', () => {
  test.each([
    [{ issuer: undefined }, '/issuer'],
    [{ issuer: 'ftp://corp.example' }, '/issuer'],
    [{ issuer: 'https://user:word@corp.example' }, '/issuer'],
    [{ kind: 'microsoft', issuer: 'https://login.microsoftonline.com/common/v2.0' }, '/issuer'],
    [{ kind: 'google', issuer: 'https://evil.example' }, '/issuer'],
    [{ kind: 'apple', issuer: undefined }, '/apple_key'],
    [{ kind: 'github', issuer: undefined, clientId: undefined }, '/client_id'],
    [{ domains: ['corp'] }, '/domains'],
    [{ signUp: true }, '/sign_up'],
    [{ name: 'Corp' }, '/name'],
    [{ label: 'C\u202eorp' }, '/label'],
  ] as const)('cannot be %j', async (more, pointer) => {
    const people = await openPeople();
    const draft = upstreamDraft('https://corp.example', more as Partial<ReturnType<typeof upstreamDraft>>);
    const refused = giveUpstream(people, draft);
    await expect(refused).rejects.toMatchObject({ code: 'upstream_unusable', details: { fields: { [pointer]: expect.any(String) } } });
  });

  test('keeps its secret sealed, its links under another client, and neither when it is removed', async () => {
    const idp = await startIdentityProvider();
    const people = await openPeople({ ports: [idp.port] });
    const { upstreams } = people.signin;
    const { id: organization } = people.organization;
    const by = { organization, subject: { kind: 'operator' }, actors: [] } as const;
    await giveUpstream(people, upstreamDraft(idp.issuer, { domains: ['corp.example'], signUp: true }));
    const rows = await people.store.records.in(organization).read((tx) => tx.db.selectFrom('upstreams').selectAll().execute());
    expect(JSON.stringify(rows.map(({ client_envelope }) => Buffer.from(client_envelope ?? []).toString('latin1')))).not.toContain(
      testClient.secret,
    );
    const claims = { sub: 'ada', email: 'ada@corp.example', email_verified: true };
    const come = async () => (await complete(people.signin, people, idp.answer(await begin(people.signin, people), { claims }))).kind;
    expect(await come()).toBe('signed_in');
    const waiting = await begin(people.signin, people);
    await giveUpstream(people, upstreamDraft(idp.issuer, { label: 'Renamed' }));
    await expect(complete(people.signin, people, idp.answer(waiting, { claims }))).rejects.toEqual(fault('link_ended'));
    expect(await come()).toBe('signed_in');
    await expect(giveUpstream(people, upstreamDraft('https://other.example'))).rejects.toMatchObject({ code: 'upstream_unusable' });
    expect(await upstreams.ends(organization, 'corp')).toMatchObject({ linked: 1 });
    expect(await upstreams.remove(by, 'corp')).toMatchObject({ linked: 1 });
    await expect(begin(people.signin, people)).rejects.toEqual(fault('upstream_unknown'));
    await giveUpstream(people, upstreamDraft(idp.issuer));
    expect(await come()).toBe('refused');
  });

  test('takes along the sessions that were begun through it when it is removed, and none that a password stands for', async () => {
    const idp = await startIdentityProvider();
    const people = await openPeople({ ports: [idp.port] });
    const { signin, organization } = people;
    await giveUpstream(people, upstreamDraft(idp.issuer, { domains: ['corp.example'], signUp: true }));
    await createTestUser(people, 'bob@corp.example');
    const typed = await signin.signIn(organization.id, 'bob@corp.example', testPassword, address, undefined);
    const through = await Promise.all(Array.from({ length: 100 }, (_, at) => comesIn(people, idp, at === 0 ? 'bob' : `ada${at}`)));
    const by = { organization: organization.id, subject: { kind: 'operator' }, actors: [] } as const;
    expect(await signin.upstreams.remove(by, 'corp')).toMatchObject({ linked: 100 });
    const stands = async ({ bearer }: Started) =>
      signin.session(organization.id, bearer.reveal(), 'browser').then(
        () => true,
        () => false,
      );
    expect(new Set(await Promise.all(through.map(stands)))).toEqual(new Set([false]));
    expect(await stands(typed)).toBe(true);
    const ended = people.audit.drafts.filter(({ name }) => name === 'session.ended');
    expect(ended.at(-1)).toMatchObject({ principal: by, fields: { reason: 'upstream_removed' } });
    await expect(signin.upstreams.remove(by, 'corp')).rejects.toEqual(fault('upstream_unknown'));
  }, 30_000);

  test('is found by page and by text', async () => {
    const people = await openPeople();
    for (const name of ['one', 'two', 'three']) await giveUpstream(people, upstreamDraft(`https://${name}.example`, { name, label: name }));
    const { upstreams } = people.signin;
    const page = await upstreams.list(people.organization.id, { limit: 2 });
    expect(page.items.map(({ name }) => name)).toEqual(['three', 'two']);
    const rest = await upstreams.list(people.organization.id, { limit: 2, cursor: page.next ?? '' });
    expect(rest.items.map(({ name }) => name)).toEqual(['one']);
    expect((await upstreams.list(people.organization.id, { limit: 9, text: 'two.ex' })).items.map(({ name }) => name)).toEqual(['two']);
  });
});
