import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { registerClient, tokensOf } from '../../test/support/logging-out.ts';
import { openServing, type Serving, type SignedIn, signedIn } from '../../test/support/serving.ts';
import { temporaryFolder } from '../../test/support/store.ts';
import { confirms, type Given, type Machine, openMachine } from '../../test/support/typing.ts';

let serving: Serving;
let owner: SignedIn;
let machine: Machine;

beforeAll(async () => {
  serving = await openServing();
  machine = openMachine({ clock: serving.people.clock });
  await serving.http.listen({ path: machine.folders.serverSocket });
  owner = await signedIn(serving);
}, 60_000);

const typed = (parameters: readonly string[], given?: Given) => machine.type(parameters, given);
const person = (answer: 'yes' | 'no' = 'yes'): Given => ({ watch: confirms(serving, () => owner, answer) });
const job = ['client', 'add', 'Nightly job', '--grant', 'client_credentials', '--scope', 'reports:read'];

interface Listed {
  readonly items: readonly { readonly id: string; readonly client_name: string }[];
  readonly next?: string;
}

interface Made {
  readonly client_id: string;
  readonly client_secret?: string;
}

describe('clients', () => {
  test('are registered once confirmed; the secret is printed this once', async () => {
    expect((await typed(['client', 'list'])).err).toContain('gatehouse client add');
    const { code, out, err } = await typed(job, person());
    expect([code, out, err]).toEqual([0, expect.stringMatching(/client_secret {2}[\w-]{43}/), expect.stringContaining('shown this once')]);
    expect((await typed(job, person('no'))).code).toBe(2);
    expect((await typed([...job, '--no-wait'])).out).toContain('not confirmed yet');
    expect((await typed(['client', 'list'])).out).toMatch(/Nightly job +client_secret_basic +client_credentials/);
  });

  test('get another secret, and lose one by its id', async () => {
    const made = (await typed([...job, '--json'], person())).json<Made>();
    const more = (await typed(['client', 'secret', made.client_id, '--expires', '90d', '--json'], person())).json<Made>();
    expect(more.client_secret).not.toBe(made.client_secret);
    const { secrets } = (await typed(['client', 'show', made.client_id, '--json'])).json<{ readonly secrets: readonly { id: string }[] }>();
    expect(secrets).toHaveLength(2);
    const end = (index: number) => ['client', 'secret', made.client_id, '--end', secrets[index]?.id ?? ''];
    expect((await typed([...end(0), '--preview'])).out).toContain('would have 1 left');
    expect((await typed(end(0))).out).toBe('ended\n');
    expect((await typed(['client', 'show', made.client_id])).out.match(/^secret: /gm)).toHaveLength(1);
    expect((await typed([...end(1), '--json'])).json()).toEqual({});
  });

  test('prove themselves by a key of theirs, given as a set or alone', async () => {
    const file = join(temporaryFolder(), 'keys.json');
    const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
    const byKey = ['client', 'add', 'By key', '--grant', 'client_credentials', '--auth', 'private_key_jwt', '--jwks', file, '--json'];
    for (const text of [JSON.stringify({ keys: [jwk] }), JSON.stringify(jwk)]) {
      writeFileSync(file, text);
      const made = (await typed(byKey, person())).json<Made>();
      expect(made.client_secret).toBeUndefined();
      expect((await typed(['client', 'show', made.client_id])).out).toContain('jwks: 1');
    }
    writeFileSync(file, 'no JSON');
    expect(await typed(byKey.slice(0, -1))).toMatchObject({ code: 1, err: expect.stringContaining('cannot be read as JSON') });
  });

  test.each([
    ['--auth', 'nothing'],
    ['--grant', 'nothing'],
    ['--signing', 'none'],
  ])('%s says what it takes', async (flag, value) => {
    expect(await typed([...job, flag, value])).toMatchObject({ code: 1, err: expect.stringContaining(`${flag} takes: `) });
  });

  test('are removed at once', async () => {
    const made = (await typed(['client', 'create', ...job.slice(2), '--json'], person())).json<Made>();
    expect((await typed(['client', 'list', '--search', 'NIGHTLY'])).out).toContain(made.client_id);
    expect((await typed(['client', 'list', '--search', 'no such'])).out).toBe('');
    expect((await typed(['client', 'remove', made.client_id, '--preview'])).out).toContain('would be removed');
    expect((await typed(['client', 'remove', made.client_id])).out).toBe('removed\n');
    expect((await typed(['client', 'remove', made.client_id, '--json'])).code).not.toBe(0);
    expect((await typed(['client', 'show', made.client_id])).code).not.toBe(0);
  });
});

describe('resources', () => {
  const identifier = 'https://mcp.example/mcp';
  interface Shown {
    readonly scopes: readonly { readonly name: string; readonly tells: string }[];
    readonly token_format: string;
    readonly open: boolean;
  }
  const shown = async () => (await typed(['resource', 'show', identifier, '--json'])).json<Shown>();

  test('are registered with the words of their scopes once confirmed', async () => {
    expect((await typed(['resource', 'list'])).err).toContain('gatehouse resource add');
    const add = ['resource', 'add', identifier, '--name', 'Our tools', '--any-client', '--scope', 'tools:read=read your files'];
    expect(await typed(add, person())).toMatchObject({ code: 0, out: 'registered\n' });
    expect((await typed(['resource', 'list', '--search', 'TOOLS'])).out).toMatch(/mcp +Our tools +jwt ES256 +yes +tools:read/);
    expect((await typed(['resource', 'list', '--search', 'nothing'])).err).toContain('no resources');
    expect((await typed(['resource', 'show', identifier])).out).toContain('scope tools:read: read your files');
    expect((await typed(['resource', 'add', 'no-uri'])).code).not.toBe(0);
    expect((await typed([...add, '--scope', 'without words'])).err).toContain('write a scope with its words');
  });

  test('are changed, scope by scope, as a person confirms', async () => {
    const scope = ['resource', 'scope', identifier, 'tools:write'];
    expect((await typed([...scope, 'change your files'], person())).out).toBe('changed\n');
    expect((await typed(['resource', 'change', identifier, '--format', 'opaque', '--own-clients'], person())).code).toBe(0);
    expect(await shown()).toMatchObject({
      scopes: [{ name: 'tools:read' }, { name: 'tools:write', tells: 'change your files' }],
      token_format: 'opaque',
      open: false,
    });
    expect((await typed([...scope, '--remove'], person('no'))).code).toBe(2);
    expect((await typed([...scope, '--remove'], person())).code).toBe(0);
    expect((await shown()).scopes).toHaveLength(1);
    for (const wrong of [
      scope,
      ['resource', 'change', identifier, '--any-client', '--own-clients'],
      ['resource', 'change', identifier, '--format', 'x'],
    ])
      expect((await typed(wrong)).code, wrong.join(' ')).toBe(1);
  });

  test('are removed at once; a preview only tells', async () => {
    expect((await typed(['resource', 'remove', identifier, '--preview'])).out).toBe(`${identifier} would be removed\n`);
    expect((await typed(['resource', 'remove', identifier])).out).toBe(`${identifier} is removed\n`);
    expect((await typed(['resource', 'remove', identifier])).code).not.toBe(0);
  });
});

describe('registration tokens', () => {
  test('are made once confirmed and printed this once, listed, and ended after a look', async () => {
    expect((await typed(['registration-token', 'list'])).err).toContain('gatehouse registration-token add');
    const made = (await typed(['registration-token', 'add', 'Build farm', '--uses', '2', '--expires', '30d', '--json'], person())).json<{
      readonly id: string;
      readonly registration_token: string;
    }>();
    expect(made.registration_token).toMatch(/^[\w-]{43}$/);
    const { code, out, err } = await typed(['registration-token', 'add', 'Another'], person());
    expect([code, out, err]).toEqual([0, expect.stringMatching(/token {2}[\w-]{43}/), expect.stringContaining('shown this once')]);
    expect((await typed(['registration-token', 'list', '--search', 'FARM'])).out).toMatch(/Build farm +2/);
    expect((await typed(['registration-token', 'list', '--search', 'FARM'])).out).not.toContain('Another');
    expect((await typed(['registration-token', 'list', '--limit', '1', '--json'])).json().next).toBeDefined();
    expect((await typed(['registration-token', 'end', made.id, '--preview'])).out).toContain('Build farm would be ended');
    expect((await typed(['registration-token', 'end', made.id])).out).toContain('Build farm is ended');
    expect((await typed(['registration-token', 'end', made.id, '--json'])).code).not.toBe(0);
    expect(await typed(['registration-token', 'add', 'Third', '--uses', 'many'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('--uses takes'),
    });
  });
});

describe('trusted issuers', () => {
  const issuer = 'https://ci.example';
  const add = (client: string, ...more: readonly string[]) => [
    'trust',
    'add',
    issuer,
    '--client',
    client,
    '--subject',
    'repo:acme/*',
    ...more,
  ];

  test('are added for a client once confirmed, listed, shown, and removed after a look', async () => {
    expect((await typed(['trust', 'list'])).err).toContain('gatehouse trust add');
    const job = ['client', 'add', 'Deploy job', '--auth', 'none', '--grant', 'jwt-bearer', '--scope', 'deploy', '--json'];
    const { client_id: client } = (await typed(job, person())).json<{ readonly client_id: string }>();
    expect((await typed(add(client, '--claim', 'environment=production'), person())).out).toContain('gatehouse trust list');
    expect((await typed(['trust', 'list', '--search', 'CI.EXAMPLE'])).out).toMatch(/repo:acme\/\* +clt_/);
    const [trust] = (await typed(['trust', 'list', '--json'])).json<{ readonly items: readonly { readonly id: string }[] }>().items;
    const id = trust?.id ?? '';
    expect((await typed(['trust', 'show', id])).out).toContain('claim environment: production');
    expect((await typed(['trust', 'remove', id, '--preview'])).out).toContain('would be trusted no more');
    expect((await typed(['trust', 'remove', id])).out).toContain('is trusted no more');
    expect((await typed(['trust', 'remove', id])).code).not.toBe(0);
  });

  test('are refused for a client or a person that is not there, and without subjects', async () => {
    const plain = ['client', 'add', 'Plain', '--grant', 'client_credentials', '--json'];
    const { client_id: client } = (await typed(plain, person())).json<{ readonly client_id: string }>();
    for (const wrong of [
      add('clt_nobody'),
      add(client),
      add(client, '--user', 'nobody@example.com'),
      ['trust', 'add', issuer, '--client', client],
      ['trust', 'add', issuer],
    ])
      expect((await typed(wrong)).code, wrong.join(' ')).not.toBe(0);
  });
});

describe('signing keys', () => {
  test('are listed, and followed by the next once confirmed', async () => {
    expect((await typed(['issuer-keys', 'list'])).err).toContain('no keys yet');
    expect((await typed(['issuer-keys', 'rotate'], person())).out).toContain('gatehouse issuer-keys list');
    expect((await typed(['issuer-keys', 'rotate', '--alg', 'EdDSA'], person())).code).toBe(0);
    const { out } = await typed(['issuer-keys', 'list']);
    expect(out).toMatch(/ES256 +signing/);
    expect((await typed(['issuer-keys', 'list', '--json'])).json<{ readonly items: readonly unknown[] }>().items).toHaveLength(2);
    expect((await typed(['issuer-keys', 'list', '--search', 'eddsa'])).out).not.toContain('ES256');
    expect(await typed(['issuer-keys', 'rotate', '--alg', 'HS256'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('--alg takes'),
    });
  });
});

describe('keys of an earlier system', () => {
  test('are imported by their public half once confirmed, listed, and removed', async () => {
    const file = join(temporaryFolder(), 'old.pem');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(file, privateKey.export({ format: 'pem', type: 'pkcs8' }));
    const add = ['issuer-keys', 'import', '--pem', file, '--kid', 'old-1', '--retire-after', '90d'];
    expect(await typed(add, person())).toMatchObject({ code: 0, out: 'published\n' });
    expect((await typed(['issuer-keys', 'list'])).out).toMatch(/old-1 +RS256 +imported/);
    expect((await typed(['issuer-keys', 'remove', 'old-1', '--preview'])).out).toBe('old-1 would be removed\n');
    expect((await typed(['issuer-keys', 'remove', 'old-1'])).out).toBe('old-1 is removed\n');
    expect((await typed(['issuer-keys', 'remove', 'old-1'])).code).not.toBe(0);
    writeFileSync(file, 'no key');
    expect(await typed(add)).toMatchObject({ code: 1, err: expect.stringContaining('cannot be read as a key') });
    expect((await typed(['issuer-keys', 'import'])).err).toContain('give --pem and --kid');
  });
});

describe('grants', () => {
  test('of nobody yet are said to be none, and one that is not there cannot be ended', async () => {
    expect((await typed(['grant', 'list'])).err).toContain('no client has a grant of yours');
    expect((await typed(['grant', 'list', '--json'])).json()).toEqual({ items: [] });
    expect((await typed(['grant', 'end', 'grt_01k8'])).code).not.toBe(0);
  });

  test('are listed by page and by search, and ended after a look', async () => {
    for (const name of ['Calendar', 'Notes']) await tokensOf(serving, owner, await registerClient(serving, owner, { name }));
    const list = async (...flags: readonly string[]) => (await typed(['grant', 'list', ...flags, '--json'])).json<Listed>();
    const first = await list('--limit', '1');
    const second = await list('--limit', '1', '--cursor', first.next ?? '');
    expect([...first.items, ...second.items].map(({ client_name }) => client_name)).toEqual(['Notes', 'Calendar']);
    expect((await list('--search', 'CALENDAR')).items).toEqual(second.items);
    expect((await list('--search', 'openid')).items).toHaveLength(2);
    expect((await list('--search', 'nothing')).items).toEqual([]);
    const id = second.items[0]?.id ?? '';
    expect((await typed(['grant', 'end', id, '--preview'])).out).toContain('Calendar would be ended');
    expect((await typed(['grant', 'end', id])).out).toBe('ended\n');
    expect((await list()).items).toEqual(first.items);
  });
});

describe('types of authorization details', () => {
  const file = join(temporaryFolder(), 'payment.json');
  const type = { type: 'payment', tells: 'pay for you', fields: { amount: { kind: 'number', required: true, tells: 'Amount' } } };

  test('are registered from a file once confirmed, listed, and removed', async () => {
    expect((await typed(['details-type', 'list'])).err).toContain('gatehouse details-type add');
    writeFileSync(file, JSON.stringify(type));
    expect((await typed(['details-type', 'add', file], person('no'))).code).toBe(2);
    expect(await typed(['details-type', 'add', file], person())).toMatchObject({ code: 0, out: 'registered\n' });
    expect((await typed(['details-type', 'add', file])).code).not.toBe(0);
    expect((await typed(['details-type', 'list', '--search', 'PAY'])).out).toMatch(/payment +pay for you +amount/);
    expect((await typed(['details-type', 'list', '--search', 'nothing'])).out).toBe('');
    expect((await typed(['details-type', 'list', '--json'])).json<{ readonly items: readonly object[] }>().items).toEqual([type]);
    expect((await typed(['details-type', 'remove', 'payment', '--preview'])).out).toContain('would remove payment');
    expect((await typed(['details-type', 'remove', 'payment'])).out).toBe('removed\n');
    expect((await typed(['details-type', 'remove', 'payment'])).code).not.toBe(0);
  });

  test('say how a file is written where it is none', async () => {
    writeFileSync(file, '{"type":1}');
    expect((await typed(['details-type', 'add', file])).err).toContain('"type":"payment"');
  });

  test('are given to a client, with how its requests must come and how long what it is issued lives', async () => {
    const flags = [
      '--redirect',
      'https://shop.example/callback',
      '--details-type',
      'payment',
      '--life',
      'access_token=5m',
      '--require-par',
    ];
    const made = (await typed(['client', 'add', 'Shop', ...flags, '--json'], person())).json<Made>();
    const shown = (await typed(['client', 'show', made.client_id, '--json'])).json<object>();
    expect(shown).toMatchObject({
      authorization_details_types: ['payment'],
      lives: { access_token: 300 },
      require_pushed_authorization_requests: true,
    });
    expect((await typed(['client', 'show', made.client_id])).out).toContain('lives: access_token=300s');
    expect((await typed(['client', 'add', 'Shop', '--life', 'access_token=2d'])).err).toContain(
      'access_token lives from 60 to 86400 seconds',
    );
  });
});

describe('lives', () => {
  test('are shown with their bounds, set one by one once confirmed, and set back', async () => {
    expect((await typed(['lives', 'show'])).out).toContain('access_token: 900 (access tokens; 60 to 86400; not set)');
    expect((await typed(['lives', 'set', 'access_token=30m'], person())).out).toBe('changed\n');
    expect((await typed(['lives', 'set', 'code=30s'], person())).code).toBe(0);
    expect((await typed(['lives', 'show', '--json'])).json()).toEqual({ access_token: 1_800, code: 30 });
    expect((await typed(['lives', 'set', '--usual'], person())).code).toBe(0);
    expect((await typed(['lives', 'show', '--json'])).json()).toEqual({});
    for (const wrong of [
      ['lives', 'set'],
      ['lives', 'set', 'access_token'],
      ['lives', 'set', 'tea=5m'],
    ])
      expect((await typed(wrong)).code).not.toBe(0);
  });
});
