import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll } from 'vitest';
import { readSettings } from '#config';
import { Secret, silentLog, systemClock } from '#kernel';
import { createAgentProof, encodeDidKey, type VerificationKey, verificationKeyOf } from '#oauth';
import { buildParts } from '../../src/bin/parts.ts';
import type { ContenderOptions } from './contender.ts';
import type { Heard, Said } from './hostile.ts';
import { freePort, type ServerProcess, startServer } from './installation.ts';
import { temporaryFolder } from './store.ts';

type Variables = Readonly<Record<string, string>>;

/** Where one replica finds what all of them share; another may find it by another way. */
export interface Way {
  readonly database: NonNullable<ContenderOptions['database']>;
  readonly redisUrl?: string;
}

/** A server process, and a contender beside it on the same store. */
export interface Replica {
  readonly name: string;
  readonly port: number;
  /** What its command lines need to find it. */
  readonly env: Variables;
  say(said: Said): Promise<Heard>;
  /** Asks the contender; `refused:gone` while there is none. */
  ask(verb: string, key: string, more?: number): Promise<string>;
  start(more?: Variables): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Servers on one database, set up, with an agent that is active. */
export interface Site {
  readonly replicas: readonly Replica[];
  readonly agent: { readonly id: string };
  /** The header that proves one request, to any of them. */
  proof(method: string, path: string, body?: string): string;
  close(): Promise<void>;
}

export const publicUrl = 'https://gatehouse.example.test';
const commandSeconds = 1;
const failoverSeconds = 1;
const children = new Set<ChildProcess>();
const sites = new Set<Site>();

afterAll(async () => {
  for (const site of sites) await site.close();
  for (const child of children) child.kill('SIGKILL');
});

/** Starts one replica for each way. */
export async function startSite(ways: readonly Way[]): Promise<Site> {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'master.key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  const envs = await Promise.all(ways.map((way, index) => environmentOf(folder, `replica-${index}`, way)));
  const agent = await prepare(envs[0] as Variables);
  const replicas = ways.map((way, index) => createReplica(`replica ${index}`, way, envs[index] as Variables));
  await Promise.all(replicas.map((replica) => replica.start()));
  const site: Site = {
    replicas,
    agent,
    proof: agent.proof,
    async close() {
      sites.delete(site);
      await Promise.all(replicas.map((replica) => replica.stop('SIGKILL')));
    },
  };
  sites.add(site);
  return site;
}

async function environmentOf(folder: string, name: string, { database, redisUrl }: Way): Promise<Variables> {
  const own = join(folder, name);
  for (const part of ['home', 'config', 'runtime', 'user']) mkdirSync(join(own, part), { recursive: true, mode: 0o700 });
  return {
    PATH: process.env.PATH ?? '',
    HOME: join(own, 'user'),
    XDG_CONFIG_HOME: join(own, 'config'),
    XDG_RUNTIME_DIR: join(own, 'runtime'),
    GATEHOUSE_HOME: join(own, 'home'),
    GATEHOUSE_PORT: String(await freePort()),
    GATEHOUSE_PROXY_PORT: String(await freePort()),
    GATEHOUSE_PUBLIC_URL: publicUrl,
    GATEHOUSE_MASTER_KEY_FILE: join(folder, 'master.key'),
    GATEHOUSE_DATABASE_URL: database.url,
    GATEHOUSE_DATABASE_SCHEMA: database.schema,
    GATEHOUSE_SHUTDOWN_SECONDS: '2',
    ...(redisUrl === undefined
      ? {}
      : {
          GATEHOUSE_REDIS_URL: redisUrl,
          GATEHOUSE_REDIS_CONNECT_SECONDS: '2',
          GATEHOUSE_REDIS_COMMAND_SECONDS: String(commandSeconds),
          GATEHOUSE_REDIS_FAILOVER_SECONDS: String(failoverSeconds),
        }),
  };
}

interface Keys {
  readonly privateKey: KeyObject;
  readonly did: string;
}

/** Who set the site up. */
export const siteOwner = { email: 'owner@example.test', password: 'plum orbit 94 lantern' } as const;

/** An agent's keys, and what they prove to any replica. */
export function newProver() {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { jwk } = verificationKeyOf(privateKey) as VerificationKey;
  const keys = { privateKey, did: encodeDidKey(jwk) };
  return { ...keys, jwk, proof: proverOf(keys) };
}

function proverOf(keys: Keys) {
  return (method: string, path: string, body = ''): string =>
    createAgentProof({ ...keys, audience: publicUrl, method, url: publicUrl + path, body: Buffer.from(body), now: Date.now() });
}

/** The first administrator, and an agent of theirs. */
async function prepare(env: Variables): Promise<{ readonly id: string; readonly proof: Site['proof'] }> {
  const { settings } = readSettings({ env, aliases: false });
  const parts = await buildParts({ settings, env, dev: false, clock: systemClock, log: silentLog });
  const { identity, signin, organization, store } = parts;
  try {
    const { token } = await signin.setupLink();
    const person = { ...siteOwner, name: 'Olive', password: new Secret<string>(siteOwner.password) };
    const { principal, user } = (await signin.completeSetup(token.reveal(), person, '127.0.0.1')).session;
    const { jwk, proof } = newProver();
    const request = { method: 'POST', target: `${publicUrl}/v1/agents`, body: Buffer.from('{}') };
    const asked = { organization: organization.id, handle: 'steady', publicJwk: { ...jwk }, address: '127.0.0.1' };
    const agent = await persevere(() => identity.enrol({ ...asked, proof: { proof: proof('POST', '/v1/agents', '{}'), ...request } }));
    const offer = await identity.offerClaim(agent, 'here', '127.0.0.1');
    await identity.typeClaim(user, offer.code.reveal());
    await identity.acceptClaim(agent);
    await store.records.in(organization.id).write((tx) => identity.confirmAgent(tx, principal, agent.id));
    return { id: agent.id, proof };
  } finally {
    await parts.close();
  }
}

/** The first proofs on an empty Redis are refused for as long as clocks may differ. */
async function persevere<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries > 60) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

function createReplica(name: string, way: Way, env: Variables): Replica {
  const port = Number(env.GATEHOUSE_PORT);
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 16 });
  let server: ServerProcess | undefined;
  let contender: Contender | undefined;
  return {
    name,
    port,
    env,
    say: (said) => hear(port, agent, said),
    ask: async (verb, key, more = 0) => (await contender?.ask(verb, key, more)) ?? 'refused:gone',
    async start(more = {}) {
      const home = env.GATEHOUSE_HOME as string;
      const redis = way.redisUrl === undefined ? {} : { redis: redisFor(way.redisUrl) };
      const ephemera = way.redisUrl === undefined ? 'sql' : 'redis';
      [server, contender] = await Promise.all([
        startServer({ ...env, ...more }, home),
        startContender({ home, name, ephemera, database: way.database, ...redis }, { PATH: env.PATH ?? '', ...more }),
      ]);
    },
    async stop(signal = 'SIGTERM') {
      const ending = server?.stop(signal);
      contender?.kill();
      [server, contender] = [undefined, undefined];
      await ending;
    },
  };
}

const redisFor = (url: string) => ({ url, commandTimeout: commandSeconds * 1000, failoverTimeout: failoverSeconds * 1000 });

interface Contender {
  ask(verb: string, key: string, more: number): Promise<string>;
  kill(): void;
}

async function startContender(options: ContenderOptions, env: Variables): Promise<Contender> {
  const program = join(import.meta.dirname, 'contender.ts');
  const child = spawn(process.execPath, ['--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning', program], {
    env: { ...env, CONTENDER: JSON.stringify(options) },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.add(child);
  const waiting = new Map<number, (outcome: string) => void>();
  const lines = createInterface({ input: child.stdout });
  let next = 0;
  let gone = false;
  child.stdin.on('error', () => {});
  const ready = new Promise<void>((resolve) =>
    lines.on('line', (line) => {
      if (line === 'ready') return resolve();
      const [number, outcome] = JSON.parse(line) as [number, string];
      waiting.get(number)?.(outcome);
      waiting.delete(number);
    }),
  );
  const ended = new Promise<void>((resolve) =>
    child.once('exit', () => {
      gone = true;
      children.delete(child);
      for (const answer of waiting.values()) answer('refused:gone');
      resolve();
    }),
  );
  await Promise.race([ready, ended.then(() => Promise.reject(new Error('a contender ended')))]);
  return {
    ask: (verb, key, more) =>
      new Promise((resolve) => {
        if (gone) return resolve('refused:gone');
        next += 1;
        waiting.set(next, resolve);
        child.stdin.write(`${JSON.stringify([next, verb, key, more])}\n`);
      }),
    kill: () => void child.kill('SIGKILL'),
  };
}

/** One request on a kept-alive connection. @returns status 0 when there was no answer */
function hear(port: number, agent: HttpAgent, { method = 'GET', path, headers = {}, body }: Said): Promise<Heard> {
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, method, path, agent, headers: { host: `localhost:${port}`, ...length, ...headers } };
    const request = httpRequest({ ...options, timeout: 20_000 }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('error', () => resolve({ status: 0, headers: {}, text: '' }));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text: Buffer.concat(parts).toString('utf8') }),
      );
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', () => resolve({ status: 0, headers: {}, text: '' }));
    request.end(body);
  });
}
