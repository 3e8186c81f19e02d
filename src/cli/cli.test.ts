import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openServing, type Serving, type SignedIn, signedIn } from '../../test/support/serving.ts';
import { temporaryFolder } from '../../test/support/store.ts';
import { claims, confirms, type Given, type Machine, openMachine, uses, whenSaid } from '../../test/support/typing.ts';

let serving: Serving;
let owner: SignedIn;
let machine: Machine;

beforeAll(async () => {
  serving = await openServing();
  machine = openMachine({ clock: serving.people.clock });
  await serving.http.listen({ path: machine.folders.serverSocket });
}, 60_000);

const typed = (parameters: readonly string[], given?: Given) => machine.type(parameters, given);
const person = (answer: 'yes' | 'no' = 'yes'): Given => ({ watch: confirms(serving, () => owner, answer) });
const used = (): Given => ({ watch: uses(serving, () => owner) });
const types = (): Given => ({ watch: claims(serving, () => owner) });

interface Page {
  readonly items: readonly unknown[];
  readonly next?: string;
}

describe('before the first administrator', () => {
  test('whoami says what is missing, by its exit code too', async () => {
    const { code, err } = await typed(['whoami']);
    expect([code, err]).toEqual([9, expect.stringContaining('not set up yet')]);
    expect(err).not.toContain('try again');
  });

  test('status says so too', async () => {
    const { code, out, err } = await typed(['status']);
    expect([code, out, err]).toEqual([0, expect.stringContaining('answers'), expect.stringContaining('gatehouse setup-link')]);
  });

  test('setup-link prints a new link', async () => {
    const { code, out } = await typed(['setup-link', '--json']);
    expect([code, JSON.parse(out)]).toEqual([0, { url: expect.stringContaining('/setup?token='), expires_at: expect.any(Number) }]);
    owner = await signedIn(serving);
  });
});

describe('agents', () => {
  test('init makes an agent, has it claimed and confirmed, and may be repeated', async () => {
    const first = await typed(['init', '--yes', '--email', owner.user.email], types());
    expect([first.code, first.out]).toEqual([0, expect.stringContaining('agent default is active')]);
    expect(first.err).toContain(`the code was typed by ${owner.user.email}`);
    const again = await typed(['init', '--yes', '--email', owner.user.email, '--json']);
    expect(again.json()).toMatchObject({ agent: { handle: 'default', status: 'active' } });
    expect(again.err).toBe('');
    expect((await typed(['agent', 'create', 'default'])).out).toBe('agent default is active\n');
  });

  test('its key lies in a file of the owner alone', () => {
    const path = join(machine.folders.config, 'agents', 'default.json');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(machine.folders.config, 'agents')).mode & 0o777).toBe(0o700);
  });

  test('a claim by somebody else than named is refused', async () => {
    expect((await typed(['agent', 'create', 'second', '--p256', '--json'])).json()).toMatchObject({
      status: 'registered',
      algorithm: 'ES256',
    });
    const { code, err } = await typed(['agent', 'claim', 'second', '--yes', '--email', 'other@example.com'], types());
    expect([code, err]).toEqual([2, expect.stringContaining('the claim was refused')]);
  });

  test('without a terminal claiming needs an answer in advance', async () => {
    expect((await typed(['agent', 'claim', 'second'])).err).toContain('--yes --email');
    expect((await typed(['init', '--yes'])).code).toBe(1);
  });

  test('claim, confirm, use, suspend, reactivate and revoke', async () => {
    expect((await typed(['agent', 'claim', 'second', '--yes', '--email', owner.user.email], types())).out).toContain('claimed');
    expect(await typed(['agent', 'confirm', 'second'], person())).toMatchObject({ code: 0, out: 'confirmed\n' });
    expect((await typed(['agent', 'use', 'second'])).out).toContain('run uses second');
    expect((await typed(['whoami'])).out).toContain('second (active)');
    expect((await typed(['agent', 'suspend', 'second'])).out).toContain('suspended');
    expect((await typed(['whoami', '--json'])).json()).toMatchObject({
      run_agent: { handle: 'second', status: expect.stringMatching(/suspended|not active/) },
    });
    expect((await typed(['agent', 'reactivate', 'second'], person('no'))).code).toBe(2);
    expect((await typed(['agent', 'reactivate', 'second'], person())).code).toBe(0);
    expect((await typed(['agent', 'revoke', 'second', '--preview'])).out).toContain('would be revoked');
    expect((await typed(['agent', 'revoke', 'second', '--json'])).json()).toMatchObject({ agent: { status: 'revoked' } });
    expect((await typed(['agent', 'use', 'default'])).code).toBe(0);
  });

  test('lists are tables for people and items as JSON; pages follow each other', async () => {
    const { out } = await typed(['agent', 'list']);
    expect(out).toMatch(/^agent +status +owner +key +made\n/);
    expect(out).toContain('default * (in use)');
    const page = (await typed(['agent', 'list', '--limit', '1', '--json'])).json<Page>();
    expect(page.items).toHaveLength(1);
    const all = (await typed(['agent', 'list', '--limit', '1', '--all', '--json'])).json<Page>();
    expect([all.items.length, all.next]).toEqual([2, undefined]);
    expect((await typed(['agent', 'list', '--limit', '0'])).code).toBe(1);
  });

  test('an agent that is not there is told, with what to do', async () => {
    expect(await typed(['agent', 'suspend', 'nobody'])).toMatchObject({ code: 2, err: expect.stringContaining('gatehouse agent list') });
    expect(await typed(['agent', 'create', 'Not A Name'])).toMatchObject({ code: 1 });
  });
});

describe('connections', () => {
  test('an API key is read from standard input and shown nowhere', async () => {
    const ended = await typed(['login', 'openai', '--key-stdin', '--json'], { input: 'sk-canary-0123456789abcdef\n', ...used() });
    expect([ended.code, ended.json()]).toEqual([0, expect.objectContaining({ provider: 'openai', name: 'default' })]);
    expect(ended.out + ended.err).not.toContain('canary');
  });

  test('the same name again is refused by its exit code, and replaced by force', async () => {
    expect((await typed(['login', 'openai', '--key-stdin'], { input: 'sk-other-0123456789abcdef' })).code).toBe(6);
    const forced = ['login', 'openai', '--key-stdin', '--force'];
    expect((await typed([...forced, '--no-wait'], { input: 'sk-other-0123456789abcdef' })).out).toBe('not confirmed yet\n');
    const listed = await typed(['connections', 'list']);
    expect([listed.out, listed.err]).toEqual([expect.stringMatching(/openai\/default +needs_attention/), expect.stringContaining('http')]);
    expect((await typed(forced, { input: 'sk-other-0123456789abcdef', ...used() })).code).toBe(0);
    expect((await typed(['login', 'nothing-known'])).code).toBe(4);
  });

  test('what --allow proposes is checked first, and shown to the person with the link', async () => {
    expect(await typed(['login', 'anthropic', '--key-stdin', '--allow', 'default'], { input: 'x' })).toMatchObject({ code: 1 });
    const ended = await typed(['login', 'anthropic', '--key-stdin', '--allow', 'default:read'], {
      input: 'sk-ant-0123456789abcdef',
      ...used(),
    });
    expect([ended.code, ended.out]).toEqual([0, 'connected: anthropic/default\n']);
    const flow = /\/connect\/flw_[0-9a-z]{26}/.exec(ended.err)?.[0];
    const page = await serving.send({ path: `${flow}/allow`, headers: { cookie: owner.cookie } });
    expect(page.text).toContain('asked for: read');
  });

  test('login says what the agent in use still waits for, and only then to run', async () => {
    await typed(['agent', 'create', 'fresh']);
    const said = async (agent: string) => {
      const login = ['login', 'cohere', '--connection', agent, '--key-stdin'];
      return (await typed(login, { input: 'cohere-0123456789abcdef', env: { GATEHOUSE_AGENT: agent }, ...used() })).err;
    };
    expect(await said('absent')).toContain('make an agent that uses it: gatehouse init');
    expect(await said('fresh')).toContain('the agent fresh is registered; claim it next: gatehouse agent claim fresh');
    expect(await said('default')).toContain('use it: gatehouse run -- <program>');
  });

  test('login calls nothing connected that was disconnected while it waited', async () => {
    const ends: Given = {
      watch: whenSaid(/\/connect\/flw_/, async () => expect((await typed(['logout', 'openai/short'])).out).toContain('with 0 permissions')),
    };
    const login = ['login', 'openai', '--connection', 'short', '--key-stdin'];
    const { code, out, err } = await typed(login, { input: 'sk-short-0123456789abcdef', ...ends });
    expect([code, out, err]).toEqual([2, '', expect.stringContaining('connect it again with: gatehouse login openai --connection short')]);
  });

  test('login prints a link, and with --no-wait goes on', async () => {
    const { code, out, err } = await typed(['login', 'groq', '--no-wait']);
    expect([code, out, err]).toEqual([0, 'not connected yet\n', expect.stringContaining('/connect/flw_')]);
    expect((await typed(['login', 'groq', '--flow', 'nonsense'])).err).toContain('--flow takes');
  });

  test('init, repeated, goes on from there', async () => {
    expect((await typed(['init'])).out).toBe(
      'agent default is active at the local server\nrun a program next: gatehouse run -- <program>\n',
    );
  });

  test('list, inspect, set-default, share and disconnect', async () => {
    expect((await typed(['connections', 'list'])).out).toMatch(/openai\/default +connected/);
    expect((await typed(['connections', 'inspect', 'openai'])).out).toContain('openai/default');
    expect((await typed(['connections', 'inspect', 'openai/none'])).code).toBe(3);
    const work = ['login', 'openai', '--connection', 'work', '--key-stdin'];
    expect((await typed(work, { input: 'sk-work-0123456789abcdef', ...used() })).code).toBe(0);
    expect((await typed(['connections', 'set-default', 'openai/work', '--no-wait'])).out).toBe('not confirmed yet\n');
    expect((await typed(['connections', 'set-default', 'openai/work'], person())).out).toContain('openai/work is the default');
    expect((await typed(['connections', 'share', 'openai/work'], person())).out).toBe('shared\n');
    expect((await typed(['connections', 'share', 'openai/work', '--stop'])).out).toContain('not shared');
    expect((await typed(['logout', 'openai/work', '--preview'])).out).toContain('would be disconnected');
    expect((await typed(['connections', 'disconnect', 'openai/work', '--json'])).json()).toMatchObject({ connection: { name: 'work' } });
    expect((await typed(['provider', 'revoke', 'anthropic', '--preview', '--json'])).json()).toMatchObject({
      items: [{ connection: 'anthropic/default' }],
    });
  });

  test('scan shows names and never values; import makes connections of what it knows', async () => {
    const folder = temporaryFolder();
    writeFileSync(
      join(folder, '.env'),
      'GROQ_API_KEY=gsk_canary0123456789abcdef0123456789abcdef0123456789abcdef\nPORT=80\nUNKNOWN_SECRET=canary-2\n',
    );
    writeFileSync(join(folder, '.env.example'), 'OPENAI_API_KEY=canary-3\n');
    const scanned = await typed(['scan', folder], { env: { MISTRAL_API_KEY: 'canary-4' } });
    expect(scanned.out).toContain('GROQ_API_KEY');
    expect(scanned.out).toContain('UNKNOWN_SECRET');
    expect(scanned.out).toContain('MISTRAL_API_KEY');
    expect(scanned.out).not.toMatch(/canary|PORT|\.example/);
    const made = await typed(['scan', folder, '--no-env', '--import', '--yes', '--json'], person());
    expect(made.json()).toEqual({ items: [{ name: 'GROQ_API_KEY', connection: 'groq/default', result: 'connected' }] });
    const given = '[{"provider":"mistral","connection":"work","key":"canary-5"}]';
    const listed = await typed(['import', '--json'], { input: given, ...person() });
    expect([listed.code, listed.json()]).toEqual([
      0,
      { items: [{ name: 'mistral/work', connection: 'mistral/work', result: 'connected' }] },
    ]);
    expect((await typed(['import'], { input: '{"GROQ_API_KEY":"canary-6"}' })).code).toBe(6);
    expect((await typed(['import'], { input: '{' })).code).toBe(1);
    expect((await typed(['import'], { input: '[{"provider":"nowhere","key":"x"}]' })).err).toContain('/0: there is no such provider');
  });
});

describe('policy', () => {
  test('allow waits for the person, deny acts at once, and both end', async () => {
    const allowed = await typed(
      ['policy', 'allow', 'default', 'openai', '--class', 'read,write', '--path', 'GET /v1/models', '--until', '7d', '--json'],
      person(),
    );
    expect(allowed.json()).toMatchObject({ status: 'confirmed', result: { permission: expect.stringMatching(/^prm_/) } });
    const id = allowed.json<{ result: { permission: string } }>().result.permission;
    expect((await typed(['policy', 'end', id])).out).toContain('ended');
    const denied = (await typed(['policy', 'deny', 'all', 'openai', 'delete', '--json'])).json<{ id: string; effect: string }>();
    expect(denied.effect).toBe('deny');
    expect((await typed(['policy', 'end', denied.id], person())).out).toBe('ended\n');
    expect((await typed(['policy', 'list', '--ended', '--agent', 'default'])).out).toContain('ended');
  });

  test('a refusal in the browser is an exit code of its own', async () => {
    expect((await typed(['policy', 'allow', 'default', 'openai', 'read'], person('no'))).code).toBe(2);
    expect((await typed(['policy', 'allow', 'default', 'openai'])).err).toContain('say how far');
    expect((await typed(['policy', 'allow', 'default', 'openai/', 'read'])).code).toBe(1);
  });

  test('explain says what would be decided and what would permit it', async () => {
    const { code, out } = await typed(['policy', 'explain', 'default', 'post', 'https://api.openai.com/v1/chat/completions']);
    expect([code, out]).toEqual([1, expect.stringMatching(/^deny/)]);
    expect(out).toContain('permit it with: gatehouse policy allow default openai/default');
    expect((await typed(['policy', 'explain', 'default', 'GET', 'https://api.stripe.com/v1/charges'])).out).toContain(
      'connect it with: gatehouse login stripe',
    );
    const other = await typed(['policy', 'explain', 'default', 'GET', 'https://other.example.com/']);
    expect([other.code, other.out]).toEqual([0, 'allow: no_connection\n']);
    expect(other.err).toContain('nothing is put on the call');
    expect((await typed(['policy', 'explain', 'default', 'GET', 'api.openai.com'])).err).toContain('write the whole address: https://');
  });
});

describe('providers, keys, log, settings', () => {
  test('providers are listed, inspected, registered from a file and removed', async () => {
    expect((await typed(['provider', 'list', '--search', 'github'])).out).toContain('github');
    expect((await typed(['provider', 'inspect', 'github'])).out).toContain('api.github.com');
    const file = join(machine.home, 'own.jsonc');
    writeFileSync(file, '// ours\n{ "broken": ');
    expect((await typed(['provider', 'register', file])).code).toBe(4);
    expect((await typed(['provider', 'register', join(machine.home, 'absent.json')])).code).toBe(4);
    writeFileSync(
      file,
      `// ours
      { "id": "internal", "name": "Internal", "documentation": "https://docs.example.com", "hosts": [{ "host": "internal.example.com" }],
        "auth": [{ "kind": "api_key", "fields": [{ "name": "api_key", "label": "API key" }], "inject": [{ "kind": "bearer", "part": "api_key" }] }],
        "variables": [], "operations": [], }`,
    );
    const registered = await typed(['provider', 'register', file], person());
    expect([registered.code, registered.err]).toEqual([0, expect.any(String)]);
    expect((await typed(['provider', 'remove', 'internal'], person())).out).toBe('removed\n');
    const client = ['provider', 'client', 'github', '--client-id', 'abc', '--secret-stdin'];
    expect((await typed([...client, '--no-wait'], { input: 'canary' })).out).toBe('not confirmed yet\n');
    expect((await typed(['provider', 'inspect', 'github'])).out).toMatch(/own client +no/);
    expect((await typed(client, { input: 'canary', ...person() })).out).toContain('uses your client');
    expect((await typed(['provider', 'inspect', 'github'])).out).toMatch(/own client +yes/);
  });

  test('a generated key is printed once, and keys are listed by id', async () => {
    expect((await typed(['keys', 'generate'])).out).toMatch(/^[0-9a-f]{64}\n$/);
    expect((await typed(['keys', 'list', '--json'])).json()).toMatchObject({ items: [{ use: 'current' }] });
  });

  test('the log shows what happened, filtered, and proves itself', async () => {
    const { out } = await typed(['log', '--name', 'agent.registered']);
    expect(out.trim().split('\n')).toHaveLength(3);
    const page = (await typed(['log', '--limit', '2', '--json', '--since', '1h'])).json<Page>();
    expect([page.items.length, typeof page.next]).toEqual([2, 'string']);
    expect((await typed(['log', 'verify'])).out).toMatch(/^holds: \d+ events/);
    expect((await typed(['log', '--since', 'yesterday'])).code).toBe(1);
  });

  test('settings are printed with secrets masked, and checked all at once', async () => {
    expect((await typed(['config', 'print'], { env: { GATEHOUSE_MASTER_KEY: 'canary' } })).out).not.toContain('canary');
    expect((await typed(['config', 'check'])).out).toContain('settings are good');
    expect((await typed(['config', 'check'], { env: { GATEHOUSE_PORT: 'x', GATEHOUSE_LOG_LEVEL: 'x' } })).err).toMatch(
      /GATEHOUSE_PORT[\s\S]*GATEHOUSE_LOG_LEVEL/,
    );
  });

  test('status and doctor say what is there', async () => {
    expect(await typed(['status'])).toMatchObject({ code: 0, out: expect.stringContaining('the local server answers') });
    const doctor = await typed(['doctor', '--no-runtimes', '--json']);
    expect(doctor.json<{ checks: { check: string }[] }>().checks.map((row) => row.check)).toEqual([
      'settings and folders',
      'environment',
      'server',
      'agent',
      'isolation',
    ]);
    expect((await typed(['stop'])).err).toContain('not started with start');
    expect((await typed(['start'])).out).toContain('runs already');
  });
});

describe('from inside a run', () => {
  test.each([
    ['init'],
    ['agent', 'list'],
    ['policy', 'allow', 'default', 'openai', 'read'],
    ['keys', 'list'],
    ['log'],
    ['login', 'github'],
    ['stop'],
    ['config', 'print'],
  ])('%s %s is refused', async (...parameters: string[]) => {
    const { code, err } = await typed(parameters, { env: { GATEHOUSE_RUN: 'run_x' } });
    expect([code, err]).toEqual([1, expect.stringContaining('not from inside a run')]);
  });

  test('whoami says which run it is', async () => {
    const { out } = await typed(['whoami'], { env: { GATEHOUSE_RUN: 'run_x', GATEHOUSE_RUN_LEVEL: 'cooperative' } });
    expect(out).toBe('a program under run run_x, level cooperative\n');
  });
});

describe('run', () => {
  test('refuses to hold a master key in its environment', async () => {
    const { code, err } = await typed(['run', '--', 'true'], { env: { GATEHOUSE_MASTER_KEY: 'a'.repeat(64) } });
    expect([code, err]).toEqual([1, expect.stringContaining('GATEHOUSE_MASTER_KEY: unset it')]);
  });

  test('a program gets placeholders, no secret and a proxy with a credential of its own', async () => {
    const file = join(machine.home, 'seen.json');
    const script = `require('fs').writeFileSync(${JSON.stringify(file)}, JSON.stringify({ env: process.env, args: process.argv.slice(1) }))`;
    const { code, err } = await typed(['run', '--pass', 'KEPT_TOKEN', '--', process.execPath, '-e', script, '--', '--agent'], {
      env: { KEPT_TOKEN: 'kept', STRAY_TOKEN: 'canary', OPENAI_API_KEY: 'canary', PLAIN: 'plain' },
    });
    expect([code, err]).toEqual([0, expect.stringContaining('gatehouse: cooperative: ')]);
    expect(err).toContain('kept from the program: STRAY_TOKEN');
    const seen = JSON.parse(readFileSync(file, 'utf8')) as { env: Record<string, string>; args: string[] };
    expect(seen.args).toEqual(['--agent']);
    expect(seen.env).toMatchObject({ KEPT_TOKEN: 'kept', PLAIN: 'plain', GATEHOUSE_RUN: expect.stringMatching(/^run_/) });
    expect(seen.env.OPENAI_API_KEY).toBeTruthy();
    expect(JSON.stringify(seen)).not.toContain('canary');
    expect(seen.env.HTTPS_PROXY).toMatch(/^http:\/\/gatehouse:[\w-]{22}@127\.0\.0\.1:\d+$/);
    expect((await typed(['log', '--name', 'run.started', '--json'])).out).toContain('KEPT_TOKEN');
  });

  test('the exit code is that of the program, or 126 and 127 as shells say', async () => {
    expect((await typed(['run', 'sh', '-c', 'exit 7'])).code).toBe(7);
    expect((await typed(['run', '--', 'sh', '-c', 'kill -9 $$'])).code).toBe(137);
    expect((await typed(['run', '--', '/no/such/program'])).code).toBe(127);
    expect((await typed(['run', '--', machine.home])).code).toBe(126);
    expect((await typed(['run', '--agent', 'nobody', '--', 'true'])).code).toBe(2);
    expect((await typed(['run', '--connection', 'x', '--', 'true'])).code).toBe(1);
  });

  test('a run inside a run is the same run', async () => {
    const { code, err } = await typed(['run', '--', 'sh', '-c', 'exit 5'], { env: { GATEHOUSE_RUN: 'run_x' } });
    expect([code, err]).toEqual([5, '']);
    expect((await typed(['run', '--isolate', '--', 'true'], { env: { GATEHOUSE_RUN: 'run_x' } })).err).toContain('not from inside a run');
  });
});

describe('how it is used', () => {
  test('every command has help with an example', async () => {
    const commands = (await typed(['--help'])).out.match(/^ {2}([a-z-]+)/gm)?.map((line) => line.trim()) ?? [];
    expect(commands.length).toBeGreaterThan(18);
    for (const command of commands.filter((name) => name !== 'help' && name !== 'gatehouse')) {
      const { code, out } = await typed([command, '--help']);
      expect([command, code, out.includes('Usage: gatehouse')]).toEqual([command, 0, true]);
    }
    expect((await typed(['policy', 'allow', '--help'])).out).toContain('example:\n  gatehouse policy allow');
  });

  test('the help page has its commands under headings', async () => {
    const [, ...groups] = (await typed(['--help'])).out.split(/^(?=\S.*:$)/m);
    const under = (heading: string) => groups.find((group) => group.startsWith(heading)) ?? '';
    expect(under('Running agents:')).toMatch(/^ {2}run /m);
    expect(under('Signing people in and issuing tokens:')).toMatch(/^ {2}client/m);
    expect(under('The installation:')).toMatch(/^ {2}start/m);
  });

  test('an unknown command or option is told without a stack', async () => {
    expect(await typed(['frobnicate'])).toMatchObject({ code: 1, err: expect.stringContaining('unknown command') });
    expect(await typed(['whoami', '--frobnicate'])).toMatchObject({ code: 1 });
    expect((await typed(['--version'])).out).toBe('1.2.3\n');
  });

  test('a failure with --json has the words of a problem document and its exit code', async () => {
    const { code, out } = await typed(['connections', 'inspect', 'openai/none', '--json']);
    expect([code, JSON.parse(out)]).toEqual([
      3,
      expect.objectContaining({ code: 'connection_unknown', exit: 3, hint: expect.any(String) }),
    ]);
  });

  test('a state folder that others can look into is refused', async () => {
    const other = temporaryFolder();
    mkdirSync(join(other, 'run'), { mode: 0o755 });
    const { code, err } = await typed(['status'], { env: { GATEHOUSE_HOME: other } });
    expect([code, err]).toEqual([1, expect.stringContaining('chmod 700')]);
  });

  test('with no server at all the exit code is 9, and the hint says how to start one', async () => {
    const nowhere = { GATEHOUSE_HOME: join(temporaryFolder(), 'data') };
    expect(await typed(['connections', 'list'], { env: nowhere })).toMatchObject({
      code: 9,
      err: expect.stringContaining('gatehouse start'),
    });
    expect((await typed(['status'], { env: nowhere })).code).toBe(9);
    expect(await typed(['run', '--', 'true'], { env: nowhere })).toMatchObject({
      code: 9,
      err: expect.stringContaining('ended while it started'),
    });
  });
});
