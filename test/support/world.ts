import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestAuthority, testAuthority } from './certificates.ts';
import { type Ended, type Installation, install, setUp } from './installation.ts';
import { answers, connects, type Desk, makeAgent, must, withPerson } from './person.ts';
import { startUpstream, type Upstream } from './upstream.ts';

/** An installation, set up, with an agent, and an HTTPS API with a connected key. */
export interface World {
  readonly site: Installation;
  readonly upstream: Upstream;
  /** `https://api.example.test:PORT`. */
  readonly api: string;
  readonly host: string;
  /** What only the vault and the API may ever hold. */
  readonly canary: string;
  readonly folder: string;
  /** Runs a program under the agent. */
  run(
    program: readonly string[],
    options?: {
      readonly flags?: readonly string[];
      readonly env?: Readonly<Record<string, string>>;
      readonly timeout?: number;
      readonly input?: string;
    },
  ): Promise<Ended>;
  close(): Promise<void>;
}

export interface WorldOptions {
  readonly reach?: string;
  readonly env?: Readonly<Record<string, string>> | ((authority: TestAuthority, folder: string) => Readonly<Record<string, string>>);
  /** More hosts that lead to the API. */
  readonly hosts?: readonly string[];
  readonly extra?: Parameters<typeof startUpstream>[1];
  /** Replaces parts of the provider's definition. */
  readonly definition?: Readonly<Record<string, unknown>>;
  readonly fields?: Readonly<Record<string, string>>;
  readonly within?: readonly string[];
  /** Of the loopback interface, at which the API is. */
  readonly address?: '127.0.0.1' | '::1';
}

/** Made anew in every process, so that no source or cache holds it. */
export const canary = `canary-${randomBytes(12).toString('hex')}-sealed`;

export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-world-'));
  const host = 'api.example.test';
  const authority = testAuthority('example.test');
  const { address = '127.0.0.1' } = options;
  const upstream = await startUpstream(authority.issue(host), options.extra, address);
  const ca = join(folder, 'authority.pem');
  writeFileSync(ca, authority.pem);
  const site = await install({
    env: {
      GATEHOUSE_RESOLVE: `${host}=${address}`,
      GATEHOUSE_ALLOW_PRIVATE: `${host}:${upstream.port}=${address === '::1' ? '::1/128' : '127.0.0.0/8'}`,
      GATEHOUSE_UPSTREAM_CA: `${host}=${ca}`,
      ...(typeof options.env === 'function' ? options.env(authority, folder) : options.env),
    },
    browser: { ca: authority.pem, local: '.example.test' },
    ...(options.within === undefined ? {} : { within: options.within }),
  });
  const close = async () => {
    await site.close();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await setUp(site);
    await makeAgent(site);
    await connectApi(site, folder, { ...definitionOf(host, upstream.port), ...options.definition }, options);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    site,
    upstream,
    api: `https://${host}:${upstream.port}`,
    host,
    canary,
    folder,
    run: (program, given = {}) =>
      site.command(['run', ...(given.flags ?? []), '--', ...program], {
        ...(given.env === undefined ? {} : { env: given.env }),
        ...(given.timeout === undefined ? {} : { timeout: given.timeout }),
        ...(given.input === undefined ? {} : { input: given.input }),
      }),
    close,
  };
}

/** A bearer key for everything the API offers. */
export function definitionOf(host: string, port: number): Readonly<Record<string, unknown>> {
  return {
    id: 'example-api',
    name: 'Example API',
    documentation: 'https://example.com/api',
    hosts: [{ host, port }],
    auth: [{ kind: 'api_key', fields: [{ name: 'api_key', label: 'API key' }], inject: [{ kind: 'bearer', part: 'api_key' }] }],
    variables: [{ name: 'EXAMPLE_API_KEY', part: 'api_key' }],
    operations: [
      { id: 'echo.get', title: 'Read the echo', classes: ['read'], match: [{ methods: ['GET'], path: '/echo' }] },
      { id: 'echo.post', title: 'Write to the echo', classes: ['write'], match: [{ methods: ['POST'], path: '/echo' }] },
    ],
  };
}

export async function connectApi(
  site: Desk,
  folder: string,
  definition: Readonly<Record<string, unknown>>,
  options: { readonly reach?: string; readonly fields?: Readonly<Record<string, string>>; readonly name?: string } = {},
): Promise<void> {
  const file = join(folder, `${String(definition.id)}.json`);
  writeFileSync(file, JSON.stringify(definition));
  must(await withPerson(site, ['provider', 'register', file], [answers(site)]));
  const named = options.name === undefined ? [] : ['--connection', options.name];
  must(
    await withPerson(
      site,
      ['login', String(definition.id), ...named],
      [connects(site, { fields: options.fields ?? { api_key: canary }, reach: options.reach ?? 'everything' })],
    ),
  );
}
