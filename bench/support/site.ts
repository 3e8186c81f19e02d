import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testAuthority } from '../../test/support/certificates.ts';
import { freePort } from '../../test/support/installation.ts';
import { type Child, fromSource, listening, root, start } from './child.ts';
import type { ProxyTarget } from './tunnel.ts';

/** An API in a process of its own, and the authority that vouches for it. */
export interface Site {
  readonly folder: string;
  readonly port: number;
  readonly authority: ReturnType<typeof testAuthority>;
  readonly authorityFile: string;
  close(): Promise<void>;
}

/** A proxy under measurement. */
export interface Running {
  readonly name: string;
  readonly pid: number;
  readonly target: ProxyTarget;
  stop(): Promise<void>;
}

/** The one name that every rival resolves without help. */
export const host = 'localhost';

export async function openSite(): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  const authority = testAuthority(host);
  const authorityFile = join(folder, 'ca.crt');
  const { cert, key } = authority.issue(host);
  const [certFile, keyFile] = [join(folder, 'leaf.crt'), join(folder, 'leaf.key')];
  for (const [file, text] of [[authorityFile, authority.pem] as const, [certFile, cert] as const, [keyFile, key] as const])
    writeFileSync(file, text);
  const upstream = await start(
    process.execPath,
    [...fromSource, join(root, 'bench', 'support', 'upstream.ts'), certFile, keyFile],
    /^(\d+)\n/,
  );
  return {
    folder,
    port: Number(upstream.said[1]),
    authority,
    authorityFile,
    async close() {
      await upstream.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The upstream itself, for what a proxy is compared with. */
export function direct(site: Site): ProxyTarget {
  return { proxyPort: undefined, host, port: site.port, ca: site.authority.pem };
}

export interface OursOptions {
  /** Parameters of Node before the file. */
  readonly flags?: readonly string[];
  /** Agents, connections and permissions of others in the store. */
  readonly others?: number;
  /** Settings, such as a store that is shared. */
  readonly env?: Readonly<Record<string, string>>;
  /** One that runs on the same store already: its run is used here too. */
  readonly joins?: Running;
}

/** Milliseconds that a million rows of each kind may take. */
const populating = 600_000;

export async function startOurs(site: Site, options: OursOptions = {}): Promise<Running> {
  const folder = mkdtempSync(join(site.folder, 'ours-'));
  const parameters = [...(options.flags ?? []), ...fromSource, join(root, 'bench', 'support', 'server.ts'), String(site.port)];
  const env = {
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, 'config'),
    XDG_RUNTIME_DIR: join(folder, 'runtime'),
    GATEHOUSE_HOME: join(folder, 'home'),
    GATEHOUSE_RESOLVE: `${host}=127.0.0.1`,
    GATEHOUSE_ALLOW_PRIVATE: `${host}:${site.port}=127.0.0.0/8`,
    GATEHOUSE_UPSTREAM_CA: `${host}=${site.authorityFile}`,
    ...options.env,
  };
  mkdirSync(env.XDG_RUNTIME_DIR, { mode: 0o700 });
  const others = options.joins === undefined ? options.others : 'joins';
  const more = others === undefined ? [] : [String(others)];
  const child = await start(process.execPath, [...parameters, ...more], /^(\{.*\})\n/m, { env, cwd: folder, patience: populating });
  const told = JSON.parse(child.said[1] as string) as Pick<ProxyTarget, 'proxyPort' | 'credential' | 'ca'>;
  return running('gatehouse', child, { ...options.joins?.target, ...told, host, port: site.port });
}

export async function startRelay(site: Site): Promise<Running> {
  const port = await freePort();
  const file = join(root, 'bench', 'rivals', 'plain-relay.mjs');
  const env = { NODE_OPTIONS: '--dns-result-order=ipv4first' };
  const child = await start(
    process.execPath,
    ['--import', 'data:text/javascript,console.log("on its way")', file, String(port)],
    /on its way/,
    {
      env,
      cwd: site.folder,
    },
  );
  await listening(port);
  return running('plain relay', child, { proxyPort: port, host, port: site.port, ca: site.authority.pem });
}

export function running(name: string, child: Child, target: ProxyTarget): Running {
  return { name, pid: child.pid, target, stop: child.stop };
}
