import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Canaries, heldBy, masterKeyOf, sessionOf, veiled } from '../support/canaries.ts';
import { type Ended, gatehouse } from '../support/installation.ts';
import { count, testWith } from '../support/need.ts';
import { answers, connects, must, withPerson } from '../support/person.ts';
import { rotatingProvider } from '../support/rotating.ts';
import type { startUpstream } from '../support/upstream.ts';
import { connectApi, makeWorld, type World } from '../support/world.ts';

const made = () => `canary${randomBytes(15).toString('hex')}`;
const keys = { header: made(), query: made(), cookie: made(), password: made(), path: made(), placeholder: made() };
const oauth = { access: made(), refresh: made(), client: made() };
const pinnedSession = made();
const provider = rotatingProvider(oauth);

type Routes = NonNullable<Parameters<typeof startUpstream>[1]>;

/** Says everything it was sent, in the ways APIs do: as text, in a header, encoded, compressed, in an error. */
const echo: Routes[string] = (request, response) => {
  const text = JSON.stringify({ url: request.url, headers: request.headers });
  const encoded = { base64: Buffer.from(text).toString('base64'), hex: Buffer.from(text).toString('hex'), uri: encodeURIComponent(text) };
  const credential = request.headers.authorization ?? request.headers['x-key'] ?? request.headers.cookie ?? '';
  const body = JSON.stringify({ text, ...encoded });
  const compressed = request.url?.includes('gzip') === true;
  response
    .writeHead(request.url?.includes('failing') === true ? 500 : 200, {
      'content-type': 'application/json',
      'x-seen': String(credential),
      ...(compressed ? { 'content-encoding': 'gzip' } : {}),
    })
    .end(compressed ? gzipSync(body) : body);
};

let world: World;
/** Name → what must not be found anywhere. */
let canaries: Canaries;

const field = { name: 'api_key', label: 'Key' };
const kinds = {
  header: { fields: [field], inject: [{ kind: 'header', name: 'x-key' }] },
  query: { fields: [field], inject: [{ kind: 'query', name: 'key' }] },
  cookie: { fields: [field], inject: [{ kind: 'cookie', name: 'session' }] },
  path: { fields: [field], inject: [{ kind: 'path', template: '/path/{api_key}/' }] },
  placeholder: { fields: [field], inject: [{ kind: 'placeholder', slots: ['header'] }] },
  basic: {
    fields: [
      { name: 'username', label: 'User', secret: false },
      { name: 'password', label: 'Password' },
    ],
    inject: [{ kind: 'basic' }],
  },
} as const;
const given = {
  header: { api_key: keys.header },
  query: { api_key: keys.query },
  cookie: { api_key: keys.cookie },
  path: { api_key: keys.path },
  placeholder: { api_key: keys.placeholder },
  basic: { username: 'somebody', password: keys.password },
} as const;
const places = ['', ...Object.keys(kinds), 'oauth'];
/** Where the credential goes into the path, the program names another. */
const paths = places.map((kind) => (kind === 'path' ? '/path/mine' : `/${kind}`));

beforeAll(async () => {
  world = await makeWorld({ extra: { ...provider.routes, ...Object.fromEntries(places.map((kind) => [kind, echo])) } });
  const { site, folder, host, upstream } = world;
  for (const [kind, auth] of Object.entries(kinds)) {
    const definition = {
      id: `by-${kind}`,
      name: `By ${kind}`,
      documentation: 'https://example.com',
      hosts: [{ host, port: upstream.port, path: `/${kind}` }],
      auth: [{ kind: 'api_key', ...auth }],
      variables: [{ name: `BY_${kind.toUpperCase()}`, part: kind === 'basic' ? 'password' : 'api_key' }],
    };
    await connectApi(site, folder, definition, { fields: given[kind as keyof typeof given] });
  }
  await connectByCode();
  writePinned();
  const { text, bytes } = masterKeyOf(site);
  canaries = new Map<string, string | Buffer>([
    ['bearer key', world.canary],
    ['header key', keys.header],
    ['query key', keys.query],
    ['cookie', keys.cookie],
    ['password', keys.password],
    ['path token', keys.path],
    ['key for a placeholder', keys.placeholder],
    ['access token', oauth.access],
    ['refresh token', oauth.refresh],
    ['client secret', oauth.client],
    ['master key', text],
    ['master key bytes', bytes],
    ['agent key', agentKey()],
    ['browser session', sessionOf(site)],
    ['pinned session', pinnedSession],
  ]);
}, 600_000);
afterAll(() => world?.close());

async function connectByCode(): Promise<void> {
  const { site, folder, host, upstream } = world;
  const plain = provider.definition(host, upstream.port) as { auth: [Record<string, unknown>] };
  const file = join(folder, 'rotating.json');
  writeFileSync(file, JSON.stringify({ ...plain, auth: [{ ...plain.auth[0], client_authentication: 'client_secret_post' }] }));
  must(await withPerson(site, ['provider', 'register', file], [answers(site)]));
  const client = ['provider', 'client', 'rotating', '--client-id', 'ours', '--secret-stdin'];
  must(await withPerson(site, client, [answers(site)], { input: oauth.client }));
  must(await withPerson(site, ['login', 'rotating'], [connects(site, { reach: 'everything' })]));
}

/** A session at another server, as `login` leaves it. */
function writePinned(): void {
  const servers = { 'https://elsewhere.example.test': { issuer: 'https://elsewhere.example.test', session: pinnedSession } };
  writeFileSync(join(world.site.config, 'servers.json'), JSON.stringify({ servers }), { mode: 0o600 });
}

function agentKey(): string {
  const file = JSON.parse(readFileSync(join(world.site.config, 'agents', 'default.json'), 'utf8')) as { private_jwk: { d: string } };
  return file.private_jwk.d;
}

const held = (content: string | Buffer): readonly string[] => heldBy(canaries, content);

/** The agent's own search: its environment and arguments, every process and every file that it can open. */
const search = `
import json, os, sys, time
rows = [(name, bytes.fromhex(form)) for name, form in json.loads(bytes(b ^ 0x5a for b in bytes.fromhex(sys.stdin.read())))]
found, opened, began = set(), 0, time.monotonic()
def held(data, place):
    for name, form in rows:
        if form in data: found.add(name + ' in ' + place)
def look(path):
    global opened
    try:
        with open(path, 'rb') as file:
            while True:
                part = file.read(8_000_000)
                if not part: break
                held(part, path)
        opened += 1
    except OSError: pass
for name, value in os.environb.items(): held(name + b'=' + value, 'environment')
for pid in filter(str.isdigit, os.listdir('/proc')):
    for part in ('environ', 'cmdline'): look('/proc/' + pid + '/' + part)
skipped = set(sys.argv[1].split(':'))
seen = set()
for top in ['/'] + sys.argv[2:]:
    for folder, names, files in os.walk(top):
        names[:] = [n for n in names if os.path.join(folder, n) not in skipped and n not in ('node_modules', '.git')]
        try: here = os.stat(folder)
        except OSError: continue
        if (here.st_dev, here.st_ino) in seen:
            names[:] = []
            continue
        seen.add((here.st_dev, here.st_ino))
        for name in files:
            path = os.path.join(folder, name)
            try:
                if os.path.isfile(path) and os.stat(path).st_size < 32_000_000: look(path)
            except OSError: pass
print(json.dumps({'found': sorted(found), 'opened': opened > 20}))
`;
/** Kernel interfaces, and what the system came with (searched too where there is time). */
const skipped = [
  '/proc',
  '/sys',
  '/dev/pts',
  ...count<string[]>(['/usr', '/lib', '/lib64', '/bin', '/sbin', '/boot', '/opt', '/snap', '/nix'], []),
];

/** Asks every connection's API in every way it answers, also wrongly, and prints all that comes back, errors too. */
const ask = `
import os, sys, traceback, urllib.error, urllib.request
for url in sys.argv[1:]:
    try:
        headers = {'X-Key': os.environ['BY_PLACEHOLDER']} if '/placeholder' in url else {}
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20)
        print(url, answer.status, answer.headers, answer.read().hex())
    except urllib.error.HTTPError as error: print(url, error.code, error.headers, error.read().hex())
    except Exception: traceback.print_exc(file=sys.stdout)
print(os.environ, open('/proc/self/cmdline').read())
`;

/** Milliseconds to read a whole machine in. */
const searchTime = count(240_000, 1_200_000);

type Level = 'cooperative' | 'separated';

function runAt(level: Level, program: readonly string[], input?: string): Promise<Ended> {
  const cwd = join(world.site.folder, 'project');
  mkdirSync(cwd, { recursive: true });
  const flags = level === 'separated' ? ['--isolate'] : [];
  return world.site.command(['run', ...flags, '--', ...program], { cwd, timeout: searchTime, ...(input === undefined ? {} : { input }) });
}

/** Bodies were printed in hexadecimal, so that nothing of them is lost on the way. */
function unprinted(text: string): Buffer {
  return Buffer.concat([Buffer.from(text), ...[...text.matchAll(/[0-9a-f]{16,}/g)].map(([hex]) => Buffer.from(hex, 'hex'))]);
}

const urls = () => [
  ...paths.flatMap((path) => ['/', '/gzip', '/failing'].map((end) => `${world.api}${path}${end}`.replace(/([^:])\/\//, '$1/'))),
  `http://${world.host}:${world.upstream.port}/`,
  `https://unknown.example.test:${world.upstream.port}/`,
];

/** What the API is sent; the rest never leaves the vault, or goes to the token endpoint alone. */
const arriving = ['bearer key', 'header key', 'query key', 'cookie', 'password', 'path token', 'key for a placeholder', 'access token'];

for (const level of ['cooperative', 'separated'] as const) {
  describe(`at the ${level} level`, () => {
    testWith('python3', 'unshare')('environment, arguments, answers and errors hold no canary, while each arrives upstream', async () => {
      world.upstream.seen.splice(0);
      const { code, stdout, stderr } = await runAt(level, ['/usr/bin/python3', '-c', ask, ...urls()]);
      expect([code, stderr]).toEqual([0, expect.stringContaining(`gatehouse: ${level}`)]);
      expect(held(unprinted(stdout))).toEqual([]);
      expect(held(stderr)).toEqual([]);
      const sent = world.upstream.seen.map((seen) =>
        JSON.stringify([seen.url, seen.headers, atob(/Basic (\S+)/.exec(String(seen.headers.authorization))?.[1] ?? '')]),
      );
      for (const name of arriving) expect([name, sent.filter((one) => one.includes(String(canaries.get(name)))).length]).toEqual([name, 3]);
    });
  });
}

describe('a separated program', () => {
  testWith('python3', 'unshare')(
    'finds no canary in any process or file that it can open',
    async () => {
      const parameters = [skipped.join(':'), world.site.folder, world.folder, world.site.home, world.site.config];
      const { code, stdout, stderr } = await runAt('separated', ['/usr/bin/python3', '-c', search, ...parameters], veiled(canaries));
      expect([code, stderr]).toEqual([0, expect.stringContaining('gatehouse: separated')]);
      expect(JSON.parse(stdout)).toEqual({ found: [], opened: true });
    },
    searchTime + 10_000,
  );

  test('is searched by a search that does find them: the owner, at the same places, holds some', async () => {
    const parameters = [skipped.join(':'), world.site.config];
    const { stdout } = await runAt(
      'cooperative',
      ['/usr/bin/python3', '-c', search.replace("['/'] + ", ''), ...parameters],
      veiled(canaries),
    );
    const { found } = JSON.parse(stdout) as { found: readonly string[] };
    for (const name of ['master key', 'agent key', 'pinned session']) expect(found.some((one) => one.startsWith(`${name} in`))).toBe(true);
  });

  testWith('unshare')('cannot read key file or database, nor speak to the local sockets', async () => {
    const files = [
      join(world.site.config, 'master.key'),
      join(world.site.config, 'servers.json'),
      join(world.site.config, 'agents', 'default.json'),
    ];
    const databases = readdirSync(world.site.home).map((name) => join(world.site.home, name));
    const sockets = ['server.sock', 'proxy.sock'].flatMap((name) =>
      [world.site.home, join(world.site.home, 'run'), join(world.site.env.XDG_RUNTIME_DIR as string, 'gatehouse')].map((folder) =>
        join(folder, name),
      ),
    );
    expect(sockets.some((path) => existsSync(path))).toBe(true);
    const script = `
import socket, sys
for path in sys.argv[1:]:
    try: open(path, 'rb').read(1); print('read', path)
    except OSError: pass
    try: s = socket.socket(socket.AF_UNIX); s.connect(path); print('spoke to', path)
    except OSError: pass
print('end')`;
    const { stdout } = await runAt('separated', ['/usr/bin/python3', '-c', script, ...files, ...databases, ...sockets]);
    expect(stdout).toBe('end\n');
  });

  testWith('unshare')(
    'cannot use our own commands, with or without the mark of the run',
    async () => {
      const before = await permissions();
      const { home, env } = world.site;
      const places = [`GATEHOUSE_HOME=${home}`, `XDG_CONFIG_HOME=${env.XDG_CONFIG_HOME}`, `XDG_RUNTIME_DIR=${env.XDG_RUNTIME_DIR}`];
      for (const command of [
        ['policy', 'allow', 'default', 'by-header', 'everything'],
        ['keys', 'list'],
        ['connections', 'list'],
      ]) {
        const unmarked = ['env', '-u', 'GATEHOUSE_RUN', '-u', 'GATEHOUSE_RUN_LEVEL', ...places, `GATEHOUSE_URL=${world.site.url}`];
        for (const start of [[], unmarked]) {
          const { code, stdout } = await runAt('separated', [...start, ...gatehouse, ...command]);
          expect([command, code === 0, stdout]).toEqual([command, false, '']);
        }
      }
      expect(await permissions()).toBe(before);
    },
    300_000,
  );

  testWith('curl', 'unshare')('is nobody at the API, whatever it says it is', async () => {
    const tries = [
      ['-H', 'cookie: session=x'],
      ['-H', `authorization: Bearer ${Buffer.alloc(32).toString('base64url')}`],
      ['-H', 'x-forwarded-for: 127.0.0.1', '-H', 'forwarded: for=127.0.0.1'],
    ];
    const script = tries
      .map((headers) =>
        [
          'curl',
          '-sS',
          '--noproxy',
          "'*'",
          '-o',
          '/dev/null',
          '-w',
          "'%{http_code} '",
          ...headers.map((one) => `'${one}'`),
          `${world.site.url}/v1/permissions`,
        ].join(' '),
      )
      .join('; ');
    const { stdout } = await runAt('separated', ['sh', '-c', script]);
    expect(stdout.trim()).toBe('401 401 401');
  });
});

async function permissions(): Promise<string> {
  return must(await world.site.command(['policy', 'list', '--json'])).stdout;
}

describe('what rests', () => {
  test('without the master key no file of the data folder yields a canary', async () => {
    await world.site.stop();
    const files = readdirSync(world.site.home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.some((entry) => entry.name === 'gatehouse.db')).toBe(true);
    for (const entry of files) expect([entry.name, held(readFileSync(join(entry.parentPath, entry.name)))]).toEqual([entry.name, []]);
    await world.site.start();
  });

  test('neither the log nor the audit trail holds one', async () => {
    expect(held(world.site.output())).toEqual([]);
    const { stdout } = must(await world.site.command(['log', '--json', '--limit', '200']));
    expect(stdout).toContain('call.finished');
    expect(held(stdout)).toEqual([]);
  });

  test('a server with another master key does not start on the database', async () => {
    await world.site.stop();
    const env = { XDG_CONFIG_HOME: join(world.site.folder, 'empty'), GATEHOUSE_MASTER_KEY: randomBytes(32).toString('hex') };
    const { code, stdout, stderr } = await world.site.command(['serve'], { env, timeout: 20_000 });
    expect([code > 0, stdout.includes('is ready')]).toEqual([true, false]);
    expect(held(stdout + stderr)).toEqual([]);
    await world.site.start();
  });
});
