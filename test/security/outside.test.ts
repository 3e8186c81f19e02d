import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBrowser } from '../support/browser.ts';
import { dialPort, type Heard, type HostileAgent, hostileAgent, say } from '../support/hostile.ts';
import { type Installation, install, owner } from '../support/installation.ts';
import { answers, must, withPerson } from '../support/person.ts';
import { definitionOf } from '../support/world.ts';

const keyCanary = 'canary-outside-51ab77c0de9f-key';
const passwordCanary = 'canary outside 7d3f90b1 pass phrase';
const json = { 'content-type': 'application/json' };
const many = <T>(count: number, make: (nth: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, nth) => make(nth)));
const counted = (heard: readonly Heard[], status: number): number => heard.filter((one) => one.status === status).length;
const part = (heard: Heard, name: string): string => String((JSON.parse(heard.text) as Record<string, unknown>)[name]);

let site: Installation;
let mallory: HostileAgent;
let commandLine = '';
/** The person's own second browser, held in the open. */
let cookie = '';
let token = '';

beforeAll(async () => {
  site = await install();
}, 60_000);
afterAll(() => site?.close());

const link = (): string => /http:\/\/\S+\/setup\?token=\S+/.exec(site.output())?.[0] ?? '';
const tokenIn = (page: Heard): string => /name="form_token" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
const cookieOf = (heard: Heard): string => [heard.headers['set-cookie']].flat().join('').split(';')[0] ?? '';
const page = (path: string, held = cookie): Promise<Heard> => say(site.port, { path, headers: { cookie: held } });

/** A form, posted as our own page would, unless told otherwise. */
function post(path: string, fields: Readonly<Record<string, string>> = {}, headers: Readonly<Record<string, string>> = {}): Promise<Heard> {
  return say(site.port, {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: site.url, 'sec-fetch-site': 'same-origin', cookie, ...headers },
    body: new URLSearchParams({ form_token: token, ...fields }).toString(),
  });
}

/** Signs in by hand, beginning with these cookies. */
async function signIn(planted = '', fields: Readonly<Record<string, string>> = {}): Promise<Heard> {
  const form = await page('/signin', planted);
  const held = [planted, cookieOf(form)].filter((one) => one !== '').join('; ');
  return post('/signin', { form_token: tokenIn(form), email: owner.email, password: owner.password, ...fields }, { cookie: held });
}

/** A request of the command line. */
function ask(method: string, path: string, body?: object): Promise<Heard> {
  const headers = { ...json, authorization: `Bearer ${commandLine}` };
  return say(site.port, { method, path, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

let asked = 0;
/** A question about a permission, asked by the command line. */
async function parked(): Promise<{ readonly id: string; readonly path: string }> {
  const path = `/asked/${asked++}`;
  const reach = { classes: [], operations: [], patterns: [{ methods: ['GET'], path }], everything: false };
  const heard = await ask('POST', '/v1/permissions', {
    effect: 'allow',
    agent: 'mallory',
    provider: 'example-api',
    reach,
    pass_credential: false,
  });
  expect(heard.status).toBe(202);
  return { id: part(heard, 'id'), path };
}

/** The paths that permissions are in force for. */
async function permitted(): Promise<readonly string[]> {
  const { items } = JSON.parse((await ask('GET', '/v1/permissions?limit=200')).text) as {
    items: { reach: { patterns: { path: string }[] } }[];
  };
  return items.flatMap(({ reach }) => reach.patterns.map((pattern) => pattern.path));
}

describe('before there is an administrator', () => {
  test('looking at the link spends nothing, and nothing else answers', async () => {
    const path = link().slice(site.url.length);
    for (const method of ['GET', 'HEAD', 'GET']) expect((await say(site.port, { method, path })).status).toBe(200);
    for (const other of ['/', '/signin', '/v1/whoami', '/v1/openapi.json', '//setup', '/setup/../v1/keys', '/setup;/v1/keys']) {
      expect([other, (await say(site.port, { path: other })).status]).toEqual([other, 503]);
    }
  });

  test('twenty at once make one, and it stays so after a kill', async () => {
    const forms = await many(20, async () => {
      const browser = createBrowser();
      return { browser, form: await browser.open(link()) };
    });
    const after = await Promise.all(forms.map(({ browser, form }) => browser.submit(form, '/setup', owner)));
    expect(after.map(({ status }) => status).sort()).toEqual([200, ...Array(19).fill(410)]);
    await site.stop('SIGKILL');
    await site.start();
    expect((await say(site.port, { path: '/setup?token=x' })).status).toBe(410);
    expect((await site.command(['setup-link'])).code).not.toBe(0);
  });
});

describe('what is good once', () => {
  beforeAll(async () => {
    cookie = cookieOf(await signIn());
    token = tokenIn(await page('/claim'));
    await site.browser.submit(await site.browser.open(`${site.url}/signin`), '/signin', { email: owner.email, password: owner.password });
  });

  test('a command line is signed in by one approval and one collection', async () => {
    const offer = await say(site.port, { method: 'POST', path: '/v1/command-line', headers: json, body: '{"label":"here"}' });
    const code = part(offer, 'user_code');
    const approved = await many(5, () => post('/device/approve', { code, password: owner.password }));
    expect(counted(approved, 303)).toBe(1);
    const body = JSON.stringify({ device_code: part(offer, 'device_code') });
    const collected = await many(20, () => say(site.port, { method: 'POST', path: '/v1/command-line/collect', headers: json, body }));
    expect(counted(collected, 200)).toBe(1);
    commandLine = part(collected.find(({ status }) => status === 200) as Heard, 'session');
    expect((await say(site.port, { method: 'POST', path: '/v1/command-line/collect', headers: json, body })).status).not.toBe(200);
  });

  test('an agent is claimed by one typing and one acceptance', async () => {
    const agent = await hostileAgent(site, 'raced', 'registered');
    const offer = await agent.ask('POST', `/v1/agents/${agent.id}/claim`, '{"host":"here"}');
    const typed = await many(5, () => post('/claim', { code: part(offer, 'code'), password: owner.password }));
    expect(counted(typed, 200)).toBe(1);
    const accepted = await many(20, () => agent.ask('POST', `/v1/agents/${agent.id}/claim/answer`, '{"accept":true}'));
    expect(counted(accepted, 200)).toBe(1);
    expect(part(await ask('GET', `/v1/agents/${agent.id}`), 'status')).toBe('claimed');
    expect((await agent.ask('POST', '/v1/runs', '{"level":"cooperative","program":"x","connections":{},"passed":[]}')).status).toBe(403);
  });

  test('a proof is taken once out of fifty, and for nothing but its own request', async () => {
    mallory = await hostileAgent(site, 'mallory');
    const proof = (method: string, path: string, body?: string, origin?: string) => ({
      authorization: mallory.proof(method, path, body, origin),
    });
    const headers = proof('GET', '/v1/whoami');
    expect(counted(await many(50, () => say(site.port, { path: '/v1/whoami', headers })), 200)).toBe(1);
    const tried = [
      await say(site.port, { path: '/v1/connections', headers: proof('GET', '/v1/whoami') }),
      await say(site.port, { path: '/v1/connections?limit=5', headers: proof('GET', '/v1/connections') }),
      await say(site.port, { path: '/v1/who%61mi', headers: proof('GET', '/v1/whoami') }),
      await say(site.port, { path: '/v1/whoami', headers: proof('GET', '/v1/whoami', '', 'http://other.test') }),
      await say(site.port, {
        method: 'POST',
        path: '/v1/runs',
        headers: { ...json, ...proof('POST', '/v1/runs', '{}') },
        body: '{"level":"x"}',
      }),
    ];
    expect(tried.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401]);
  });

  test('a confirmation is answered once, whatever fifty parallel answers say', async () => {
    const file = join(site.folder, 'definition.json');
    writeFileSync(file, JSON.stringify(definitionOf('api.example.test', 8443)));
    must(await withPerson(site, ['provider', 'register', file], [answers(site)]));
    const one = await parked();
    const answered = await many(50, () => post(`/confirm/${one.id}`, { answer: 'yes', password: owner.password }));
    expect(answered.filter(({ headers }) => headers.location === '/done?what=confirmed')).toHaveLength(1);
    expect((await permitted()).filter((path) => path === one.path)).toHaveLength(1);
    const other = await parked();
    const mixed = await many(30, (nth) => post(`/confirm/${other.id}`, { answer: nth % 2 === 0 ? 'yes' : 'no', password: owner.password }));
    const said = mixed.filter(({ status }) => status === 303);
    expect(said).toHaveLength(1);
    expect((await permitted()).includes(other.path)).toBe(said[0]?.headers.location === '/done?what=confirmed');
  });

  test('a flow makes one connection out of twenty keys, each of which is then nowhere to be read', async () => {
    const flow = part(await ask('POST', '/v1/flows', { provider: 'example-api', flow: 'api_key' }), 'id');
    const typed = await many(20, (nth) => ask('POST', `/v1/flows/${flow}/key`, { fields: { api_key: `${keyCanary}-${nth}` } }));
    expect(counted(typed, 200)).toBe(1);
    for (const { text } of typed) expect(text).not.toContain(keyCanary);
    const { items } = JSON.parse((await ask('GET', '/v1/connections')).text) as { items: unknown[] };
    expect(items).toHaveLength(1);
  });

  test('codes cannot be guessed: five wrong ones end it for a while', async () => {
    const agent = await hostileAgent(site, 'guessed', 'registered');
    const code = part(await agent.ask('POST', `/v1/agents/${agent.id}/claim`, '{"host":"here"}'), 'code');
    const guess = (letter: string) => post('/claim', { code: `BCDF-GHJ${letter}`, password: owner.password });
    const guesses = [...(await many(8, (nth) => guess('KLMNPQRS'[nth] as string))), await guess('T'), await guess('V')];
    expect(counted(guesses, 200)).toBe(0);
    expect(counted(guesses, 429)).toBeGreaterThanOrEqual(5);
    expect((await post('/claim', { code, password: owner.password })).status).toBe(429);
  });
});

describe('a person signed in', () => {
  test('is not who holds their cookie: a page on another port of this machine is sent it too, and confirms nothing with it', async () => {
    const { id } = await parked();
    const stolen = cookieOf(await signIn());
    const form = await page(`/confirm/${id}`, stolen);
    expect(form.text).toContain('Your password, once more');
    const widened = await post(`/confirm/${id}`, { form_token: tokenIn(form), answer: 'yes' }, { cookie: stolen });
    expect([widened.status, part(await ask('GET', `/v1/confirmations/${id}`), 'status')]).toEqual([403, 'open']);
  });

  test('what their stolen cookie connects rests, by page or by API, and only their password lets it be used', async () => {
    const stolen = cookieOf(await signIn());
    const stolenToken = { form_token: tokenIn(await page('/claim', stolen)) };
    const standing = async (name: string) => {
      const { items } = JSON.parse((await ask('GET', '/v1/connections')).text) as { items: { name: string; status: object }[] };
      return items.find((one) => one.name === name)?.status;
    };
    const ways = {
      typed: (flow: string) => post(`/connect/${flow}/key`, { ...stolenToken, field_api_key: 'key-of-another-123' }, { cookie: stolen }),
      sent: (flow: string) =>
        say(site.port, {
          method: 'POST',
          path: `/v1/flows/${flow}/key`,
          headers: { ...json, cookie: stolen, origin: site.url, 'sec-fetch-site': 'same-origin' },
          body: '{"fields":{"api_key":"key-of-another-123"}}',
        }),
    };
    for (const [name, way] of Object.entries(ways)) {
      const flow = part(await ask('POST', '/v1/flows', { provider: 'example-api', name, flow: 'api_key' }), 'id');
      expect((await way(flow)).status).toBeLessThan(400);
      expect(await standing(name)).toMatchObject({ kind: 'needs_attention', reason: 'unconfirmed' });
      for (const password of ['', 'not the password']) {
        const answered = await post(`/connect/${flow}/allow`, { ...stolenToken, password }, { cookie: stolen });
        expect([answered.status, answered.text]).toEqual([403, expect.stringContaining('password')]);
      }
      expect(await standing(name)).toMatchObject({ reason: 'unconfirmed' });
      await post(`/connect/${flow}/allow`, { password: owner.password });
      expect(await standing(name)).toMatchObject({ kind: 'connected' });
    }
  });

  test('never keeps a session that somebody planted, and none outlives signing out', async () => {
    const planted = 'gatehouse_session=planted-by-another-0123456789';
    const whoami = async (held: string) => (await page('/v1/whoami', held)).status;
    const first = cookieOf(await signIn(planted));
    expect([first.startsWith('gatehouse_session='), first === planted, await whoami(first)]).toEqual([true, false, 200]);
    expect(await whoami(`${first}; ${planted}`)).toBe(401);
    expect((await post('/signout', { form_token: tokenIn(await page('/claim', first)) }, { cookie: first })).status).toBe(303);
    expect(await whoami(first)).toBe(401);
  });

  test.each([
    '//other.test',
    '/\\other.test',
    '/.//other.test',
    '/a/..//other.test',
    '/%2e//other.test',
    'https://other.test',
    '/%09//other.test/',
  ])('is never sent to another site by next=%s', async (next) => {
    const { status, headers } = await signIn('', { next });
    expect([status, new URL(String(headers.location), site.url).origin]).toEqual([303, site.url]);
  });

  test('is not made to answer by another site, another form, a command line or an agent', async () => {
    const { id } = await parked();
    const [path, yes] = [`/confirm/${id}`, { answer: 'yes', password: owner.password }];
    const tried = [
      await post(path, { ...yes, form_token: '' }),
      await post(path, { ...yes, form_token: `${token.slice(0, -1)}!` }),
      await post(path, yes, { origin: 'https://other.test' }),
      await post(path, yes, { origin: 'null' }),
      await post(path, yes, { 'sec-fetch-site': 'cross-site' }),
      await post(path, yes, { 'sec-fetch-site': 'same-site' }),
      await post(path, yes, { 'content-type': 'text/plain' }),
      await post(path, yes, { cookie: '' }),
      await post(path, yes, { cookie: '', authorization: `Bearer ${commandLine}` }),
      await mallory.ask('POST', path, JSON.stringify(yes)),
      await page(`${path}?answer=yes&form_token=${token}`),
    ];
    expect(tried.map(({ headers }) => headers.location ?? '').filter((to) => String(to).includes('/done'))).toEqual([]);
    expect(part(await ask('GET', `/v1/confirmations/${id}`), 'status')).toBe('open');
  });

  test('is told links of this server, whatever the request says it is called', async () => {
    const forged = { ...json, 'x-forwarded-host': 'other.test', forwarded: 'host=other.test', 'x-forwarded-for': '203.0.113.9' };
    const offer = await say(site.port, { method: 'POST', path: '/v1/command-line', headers: forged, body: '{"label":"there"}' });
    expect(part(offer, 'url')).toBe(`${site.url}/device`);
    const seen = await post('/device', { code: part(offer, 'user_code') });
    expect(seen.text).toContain('127.0.0.1');
    expect(seen.text).not.toMatch(/other\.test|203\.0\.113\.9/);
    for (const host of ['other.test', `other.test:${site.port}`, '127.0.0.1.other.test', 'localhost.other.test', 'localhost@other.test']) {
      expect([host, (await say(site.port, { path: '/signin', headers: { host } })).status]).toEqual([host, 421]);
    }
    for (const field of ['', 'Host:\r\n', 'Host: localhost\r\nHost: other.test\r\n']) {
      const line = await dialPort(site.port);
      line.send(`GET /signin HTTP/1.1\r\n${field}Connection: close\r\n\r\n`);
      expect(await line.until('end')).toMatch(/^HTTP\/1\.1 4\d\d /);
    }
  });
});

test('clients that go away in the middle leave nothing behind, in the log neither', async () => {
  const before = site.output().length;
  const lines = await many(100, () => dialPort(site.port));
  lines.forEach(({ send }, nth) => {
    send(nth % 2 === 0 ? 'POST /signin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\na' : 'GET /');
  });
  expect((await say(site.port, { path: '/health' })).status).toBe(200);
  for (const { socket } of lines) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(site.output().slice(before)).not.toMatch(/"level":"(error|warn)"/);
});

test('a server killed among answers has each change whole, or not at all', async () => {
  const questions = await many(30, parked);
  const answering = questions.map(({ id }) => post(`/confirm/${id}`, { answer: 'yes' }).catch(() => undefined));
  await Promise.race(answering);
  await site.stop('SIGKILL');
  const told = await Promise.all(answering);
  await site.start();
  const after = await permitted();
  for (const [nth, { id, path }] of questions.entries()) {
    const status = part(await ask('GET', `/v1/confirmations/${id}`), 'status');
    expect([path, after.filter((one) => one === path).length]).toEqual([path, status === 'confirmed' ? 1 : 0]);
    if (told[nth]?.headers.location === '/done?what=confirmed') expect(status).toBe('confirmed');
  }
}, 30_000);

test('what was typed stands in no answer, no log, no event and no file', async () => {
  const heard = [
    await signIn('', { password: passwordCanary }),
    await signIn('', { email: `${keyCanary}@example.test`, password: passwordCanary }),
    await post('/setup', { token: keyCanary, email: 'x', name: 'x', password: passwordCanary }),
    await say(site.port, { method: 'POST', path: '/v1/command-line', headers: json, body: `{"label": ${keyCanary}` }),
    await say(site.port, { path: '/v1/whoami', headers: { authorization: `Bearer ${keyCanary}` } }),
    await say(site.port, { path: '/v1/whoami', headers: { authorization: `PoP ${keyCanary}` } }),
    await ask('PUT', '/v1/providers/example-api/client', { client_id: 'x', client_secret: keyCanary, more: keyCanary }),
    await ask('POST', '/v1/flows/flw_00000000000000000000000000/key', { fields: { api_key: keyCanary } }),
  ];
  expect(heard.every(({ status }) => status >= 400 && status < 500)).toBe(true);
  for (const { text } of heard) expect(text.replace(`value="${keyCanary}@example.test"`, '')).not.toMatch(/canary/);
  const trail = await ask('GET', '/v1/events?limit=200');
  for (const text of [site.output(), trail.text]) for (const canary of [keyCanary, passwordCanary]) expect(text).not.toContain(canary);
  for (const entry of readdirSync(site.folder, { recursive: true, withFileTypes: true }).filter((found) => found.isFile())) {
    const bytes = readFileSync(join(entry.parentPath, entry.name));
    for (const canary of [keyCanary, passwordCanary, commandLine, cookie.split('=')[1] as string]) {
      expect([entry.name, bytes.includes(canary)]).toEqual([entry.name, false]);
    }
  }
});
