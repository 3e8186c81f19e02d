// npm run demo: the whole story, offline, in under a minute.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testAuthority } from '../../test/support/certificates.ts';
import { freePort, type Installation, install, owner, setUp, until } from '../../test/support/installation.ts';
import { hasProgram } from '../../test/support/need.ts';
import { answers, connects, typesClaimCode, withPerson } from '../../test/support/person.ts';

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-demo-'));
const children: ChildProcess[] = [];
const here = import.meta.dirname;

const heading = (text: string): void => void process.stdout.write(`\n\x1b[1m${text}\x1b[0m\n`);
const show = (text: string): void => void process.stdout.write(text.trim() === '' ? '' : `${text.trimEnd().replace(/^/gm, '  ')}\n`);

interface World {
  readonly issuer: string;
  readonly audience: string;
  readonly authority: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly definition: string;
}

/** Starts the provider and the API as processes of their own. */
async function startWorld(): Promise<World> {
  const authority = testAuthority('demo.test');
  const [providerPort, apiPort] = [await freePort(), await freePort()];
  const issuer = `https://id.demo.test:${providerPort}`;
  const audience = `https://api.demo.test:${apiPort}`;
  const ca = save('authority.pem', authority.pem);
  const [id, api] = ['id.demo.test', 'api.demo.test'].map((host) => {
    const { cert, key } = authority.issue(host);
    return [save(`${host}.crt`, cert), save(`${host}.key`, key)] as const;
  }) as [readonly [string, string], readonly [string, string]];
  await startChild('the provider', 'provider.ts', [issuer, String(providerPort), audience, ...id]);
  const keys = await keysOf(providerPort, authority.pem);
  await startChild('the API', 'api.ts', [issuer, keys, audience, String(apiPort), ...api]);
  const settings = {
    GATEHOUSE_RESOLVE: 'id.demo.test=127.0.0.1,api.demo.test=127.0.0.1',
    GATEHOUSE_ALLOW_PRIVATE: `id.demo.test:${providerPort}=127.0.0.0/8,api.demo.test:${apiPort}=127.0.0.0/8`,
    GATEHOUSE_UPSTREAM_CA: `id.demo.test=${ca},api.demo.test=${ca}`,
  };
  return {
    issuer,
    audience,
    authority: authority.pem,
    settings,
    definition: save('demo.json', JSON.stringify(definitionOf(issuer, apiPort))),
  };
}

function save(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

async function keysOf(port: number, ca: string): Promise<string> {
  const { Agent, fetch } = await import('undici');
  const dispatcher = new Agent({ connect: { ca, servername: 'id.demo.test' } });
  const answer = await fetch(`https://127.0.0.1:${port}/jwks`, { dispatcher, headers: { host: `id.demo.test:${port}` } });
  return answer.text();
}

function definitionOf(issuer: string, port: number): object {
  return {
    id: 'demo',
    name: 'Demo Notes',
    documentation: 'https://example.com/demo',
    hosts: [{ host: 'api.demo.test', port }],
    auth: [
      {
        kind: 'oauth2',
        flows: ['dcr_pkce'],
        issuer,
        authorization_endpoint: `${issuer}/auth`,
        token_endpoint: `${issuer}/token`,
        registration_endpoint: `${issuer}/reg`,
        revocation_endpoint: `${issuer}/token/revocation`,
        scopes: ['openid', 'offline_access', 'notes:read', 'notes:write'],
        authorization_parameters: { prompt: 'consent' },
        client_authentication: 'none',
        inject: [{ kind: 'bearer' }],
      },
    ],
    variables: [{ name: 'DEMO_TOKEN', part: 'access_token' }],
    operations: [
      { id: 'notes.list', title: 'List notes', classes: ['read'], match: [{ methods: ['GET'], path: '/notes' }] },
      { id: 'notes.delete', title: 'Delete all notes', classes: ['delete'], match: [{ methods: ['DELETE'], path: '/notes' }] },
    ],
  };
}

async function startChild(name: string, file: string, parameters: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(here, file), ...parameters], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let ready = false;
  let said = '';
  child.stdout.on('data', (part: Buffer) => {
    const text = part.toString('utf8');
    if (!ready && text.startsWith('ready')) ready = true;
    else if (ready && !text.includes('NOTICE')) show(`\x1b[2m${name} saw: ${text.trim()}\x1b[0m`);
  });
  child.stderr.on('data', (part: Buffer) => (said += part.toString('utf8')));
  await until(
    () => ready,
    15_000,
    () => `${name} did not start: ${said}`,
  );
}

/** Types a command, shows it and what it says, and does in the browser what it asks for. */
async function type(site: Installation, parameters: readonly string[], ...acts: Parameters<typeof withPerson>[2]): Promise<void> {
  show(
    `\x1b[36m$ gatehouse ${parameters.map((part) => part.replace(process.execPath, 'node').replace(`${join(here, '..')}/`, '')).join(' ')}\x1b[0m`,
  );
  const { stdout, stderr } = await withPerson(site, parameters, acts);
  show(stdout + stderr);
}

async function story(): Promise<void> {
  heading('A real OAuth provider and a real HTTPS API start, as processes of their own');
  const world = await startWorld();
  const site = await install({ env: world.settings, browser: { ca: world.authority, local: '.demo.test' } });
  try {
    heading('Gatehouse starts from nothing and prints one link; the person opens it');
    show(site.output());
    await setUp(site);
    await play(site, world);
  } finally {
    await site.close();
  }
}

async function play(site: Installation, world: World): Promise<void> {
  heading('An agent is made; the person claims it and says that it is theirs');
  await type(site, ['init', '--yes', '--email', owner.email], typesClaimCode(site), answers(site));
  heading('The API is described, and an account connected: the token goes into the vault');
  await type(site, ['provider', 'register', world.definition], answers(site));
  await type(site, ['login', 'demo', '--allow', 'default:read'], connects(site, { reach: 'read' }));
  heading('Agents run. They hold a placeholder; the API sees a valid token');
  const notes = `${world.audience}/notes`;
  if (hasProgram('python3')) await type(site, ['run', '--', 'python3', join(here, '..', 'agent.py'), notes]);
  await type(site, ['run', '--', process.execPath, join(here, '..', 'agent.mjs'), notes]);
  heading('A call that nobody permitted is refused, before any byte leaves');
  await type(site, ['run', '--', process.execPath, join(here, '..', 'agent.mjs'), notes, 'DELETE']);
  heading('The agent is revoked: its next run does not start');
  await type(site, ['agent', 'revoke', 'default']);
  await type(site, ['run', '--', process.execPath, join(here, '..', 'agent.mjs'), notes]);
  heading('Everything is on record, and the record proves itself');
  await type(site, ['log', '--limit', '12']);
  await type(site, ['log', 'verify']);
}

try {
  await story();
} finally {
  for (const child of children) child.kill('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
}
