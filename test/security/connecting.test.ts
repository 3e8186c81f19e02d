import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBrowser } from '../support/browser.ts';
import { type Heard, say } from '../support/hostile.ts';
import { owner } from '../support/installation.ts';
import { answers, must, withPerson } from '../support/person.ts';
import { rotatingProvider } from '../support/rotating.ts';
import { makeWorld, type World } from '../support/world.ts';

const provider = rotatingProvider();
let world: World;
/** Scheme, name and port of both providers. */
let origin: string;
let cookie: string;

beforeAll(async () => {
  world = await makeWorld({ extra: { ...provider.routes, 'evil-token': (_, response) => response.end('{"access_token":"evil"}') } });
  origin = world.api;
  const honest = provider.definition(world.host, world.upstream.port) as { auth: [object] };
  const [auth] = honest.auth;
  await register({ ...honest, auth: [{ ...auth, issuer: `${origin}/honest` }] });
  await register({
    ...honest,
    id: 'evil',
    hosts: [{ host: world.host, port: world.upstream.port, path: '/evil' }],
    auth: [
      { ...auth, issuer: `${origin}/evil`, authorization_endpoint: `${origin}/evil-authorize`, token_endpoint: `${origin}/evil-token` },
    ],
  });
  cookie = cookieHeader(world.site.browser);
});
afterAll(() => world?.close());

async function register(definition: object): Promise<void> {
  const { id } = definition as { id: string };
  const file = join(world.folder, `${id}.json`);
  writeFileSync(file, JSON.stringify(definition));
  must(await withPerson(world.site, ['provider', 'register', file], [answers(world.site)]));
  must(await withPerson(world.site, ['provider', 'client', id, '--client-id', 'ours'], [answers(world.site)]));
}

function cookieHeader(browser: World['site']['browser']): string {
  return Object.entries(browser.cookies(world.site.url))
    .map(([name, value]) => `${name}=${value}`)
    .join('; ');
}

let flows = 0;
/** A flow, up to where the browser leaves for the provider. */
async function leaving(id: string, fields: Readonly<Record<string, string>> = {}, headers: Readonly<Record<string, string>> = {}) {
  const { stdout, stderr } = await world.site.command(['login', id, '--connection', `c${flows++}`, '--no-wait']);
  const path = /\/connect\/flw_[0-9a-z]{26}/.exec(stdout + stderr)?.[0] ?? '';
  const page = await get(`${path}?${new URLSearchParams(fields)}`, headers);
  const token = /name="form_token" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  const gone = await say(world.site.port, {
    method: 'POST',
    path: `${path}/go`,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      origin: world.site.url,
      'sec-fetch-site': 'same-origin',
      cookie,
      ...headers,
    },
    body: new URLSearchParams({ ...fields, form_token: token }).toString(),
  });
  const address = /content="0;\s*url=([^"]+)"/.exec(gone.text)?.[1]?.replaceAll('&amp;', '&') ?? '';
  return { path, page, gone, address: new URL(address), state: new URL(address).searchParams.get('state') ?? '' };
}

function get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Heard> {
  return say(world.site.port, { path, headers: { cookie, ...headers } });
}

/** The browser comes back, as whoever sends it there wants it to. */
function comesBack(parameters: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}): Promise<Heard> {
  return get(`/connect/callback?${new URLSearchParams(parameters)}`, headers);
}

/** Codes that each token endpoint was given. */
function codesAt(endpoint: 'token' | 'evil-token'): readonly (string | null)[] {
  return world.upstream.seen
    .filter(({ url }) => url === `/${endpoint}`)
    .map(({ body }) => new URLSearchParams(body))
    .filter((asked) => asked.get('grant_type') === 'authorization_code')
    .map((asked) => asked.get('code'));
}

/** Where an answer leads: redirects, refreshes, forms and links. */
function leadsTo({ headers, text }: Heard): readonly string[] {
  const places = [...text.matchAll(/(?:href|action|src)="([^"]*)"|content="\d+;\s*url=([^"]*)"/g)].map(([, a, b]) => a ?? b ?? '');
  return [...[headers.location ?? []].flat(), ...places].map((to) => new URL(String(to), world.site.url).origin);
}

describe('a browser that comes back from a provider', () => {
  test('brings a state that is good once, however often and at once it is brought, and is told later what came of it', async () => {
    const { state, path } = await leaving('rotating');
    const before = codesAt('token').length;
    const tried = await Promise.all(Array.from({ length: 10 }, (_, nth) => comesBack({ state, code: `reused-${nth}` })));
    expect(tried.map(({ status }) => status)).toContain(303);
    expect(tried.filter(({ status }) => status !== 303 && status !== 410)).toEqual([]);
    expect((await comesBack({ state, code: 'reused-later' })).headers.location).toBe(`${path}/allow`);
    expect(codesAt('token')).toHaveLength(before + 1);
  });

  test('in another session than the one that left, even of the same person, or in none, is refused, and the flow is over', async () => {
    const { state, path } = await leaving('rotating');
    const before = codesAt('token').length;
    const second = createBrowser();
    await second.submit(await second.open(`${world.site.url}/signin`), '/signin', { email: owner.email, password: owner.password });
    expect((await comesBack({ state, code: 'swapped' }, { cookie: '' })).headers.location).toMatch(/^\/signin\?next=/);
    expect((await comesBack({ state, code: 'swapped' }, { cookie: cookieHeader(second) })).status).toBe(403);
    expect((await comesBack({ state, code: 'swapped' })).status).toBe(410);
    expect(codesAt('token')).toHaveLength(before);
    expect((await get(`${path}/allow`)).status).toBe(404);
  });

  test('with another issuer than the provider’s is refused, and no code is redeemed', async () => {
    const before = codesAt('token').length;
    for (const iss of ['https://evil.example', `${origin}/honest/`, `${origin}/honest?`, `${origin}/evil`, '']) {
      const { state } = await leaving('rotating');
      expect([iss, (await comesBack({ state, code: 'wrong-issuer', iss })).status]).toEqual([iss, 502]);
    }
    expect(codesAt('token')).toHaveLength(before);
    const { state } = await leaving('rotating');
    expect((await comesBack({ state, code: 'right-issuer', iss: `${origin}/honest` })).status).toBe(303);
  });

  test('from one provider with the state of another gives the code of neither to the other', async () => {
    const [honest, evil] = [await leaving('rotating'), await leaving('evil')];
    expect((await comesBack({ state: evil.state, code: 'honest-code', iss: `${origin}/honest` })).status).toBe(502);
    expect((await comesBack({ state: honest.state, code: 'evil-code', iss: `${origin}/evil` })).status).toBe(502);
    expect(codesAt('evil-token')).not.toContain('honest-code');
    expect(codesAt('token')).not.toContain('evil-code');
    // Both attempts are spent.
    for (const { state } of [honest, evil]) expect((await comesBack({ state, code: 'later' })).status).toBe(410);
  });
});

describe('nothing in a request sends the browser elsewhere', () => {
  const elsewhere = 'https://elsewhere.example';
  const wishes = {
    next: elsewhere,
    redirect_uri: elsewhere,
    redirect: elsewhere,
    return_to: elsewhere,
    url: elsewhere,
    to: '//elsewhere.example',
    callback: elsewhere,
  };
  const forged = {
    'x-forwarded-host': 'elsewhere.example',
    'x-forwarded-proto': 'https',
    forwarded: 'host=elsewhere.example',
    referer: elsewhere,
  };

  test('on the way out: to the provider’s own page, which is told to come back here', async () => {
    const { page, gone, address } = await leaving('rotating', wishes, forged);
    expect(`${address.origin}${address.pathname}`).toBe(`${origin}/authorize`);
    expect(address.searchParams.getAll('redirect_uri')).toEqual([`${world.site.url}/connect/callback`]);
    expect(page.text + gone.text).not.toContain('elsewhere.example');
    expect(new Set(leadsTo(gone))).toEqual(new Set([world.site.url, origin]));
  });

  test('on the way back: to our own page, whatever the provider adds, and when it refuses', async () => {
    const { state } = await leaving('rotating');
    const back = await comesBack({ ...wishes, state, code: 'good' }, forged);
    expect(back.status).toBe(303);
    expect(leadsTo(back)).toEqual([world.site.url]);
    const refused = await leaving('rotating');
    const no = await comesBack(
      { ...wishes, state: refused.state, error: 'access_denied', error_uri: elsewhere, error_description: `<a href="${elsewhere}">` },
      forged,
    );
    expect(no.text).not.toContain('elsewhere.example');
    expect(new Set(leadsTo(no))).toEqual(new Set([world.site.url]));
  });

  test('on the way through signing in: to a page of ours or home', async () => {
    for (const next of [
      elsewhere,
      '//elsewhere.example',
      '/\\elsewhere.example',
      '\\\\elsewhere.example',
      '/%2f%2felsewhere.example/..//',
      'javascript:alert(1)',
      ' https://elsewhere.example',
      '/\t/elsewhere.example',
      '/..//elsewhere.example',
    ]) {
      const fresh = createBrowser();
      const form = await fresh.open(`${world.site.url}/signin?${new URLSearchParams({ next })}`);
      const after = await fresh.submit(form, '/signin', { email: owner.email, password: owner.password, next });
      expect([next, new URL(after.url).origin]).toEqual([next, world.site.url]);
    }
  });
});
