import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { authorityCertificate, newKey, signer } from '../../src/broker/x509.ts';
import { freePort } from '../../test/support/installation.ts';
import { listening, start } from './child.ts';
import { host, type Running, running, type Site } from './site.ts';

/**
 * `peek and bump` reads the name and shakes hands upstream before it answers the client, with the upstream connection
 * pinned to the tunnel; `bump all` answers the client first.
 */
export type SquidMode = 'peek and bump' | 'bump all';

const makers = [
  '/usr/lib/squid/security_file_certgen',
  '/usr/lib64/squid/security_file_certgen',
  '/usr/libexec/squid/security_file_certgen',
];
const programs = ['/usr/sbin/squid', '/usr/local/sbin/squid', '/usr/bin/squid'];

/** Starts Squid with a certificate maker; undefined when this machine has none. */
export async function startSquid(site: Site, mode: SquidMode): Promise<Running | undefined> {
  const program = programs.find(existsSync);
  const maker = makers.find(existsSync);
  if (program === undefined || maker === undefined) return undefined;
  const folder = mkdtempSync(join(site.folder, 'squid-'));
  const port = await freePort();
  const ca = writeAuthority(folder);
  must(maker, ['-c', '-s', join(folder, 'certificates'), '-M', '4MB']);
  const file = join(folder, 'squid.conf');
  writeFileSync(file, settings(site, folder, port, maker, mode));
  if (process.getuid?.() === 0) {
    chmodSync(site.folder, 0o711);
    must('chown', ['-R', 'proxy', folder]);
  }
  const child = await start(program, ['-N', '-d', '1', '-f', file], /Accepting SSL bumped/, { cwd: folder });
  await listening(port);
  return running(`squid, ${mode}`, child, { proxyPort: port, host, port: site.port, ca });
}

function writeAuthority(folder: string): string {
  const key = newKey();
  const hour = 3_600_000;
  const pem = authorityCertificate(signer('Authority of a rival', key), [host], { from: Date.now() - hour, until: Date.now() + 24 * hour });
  writeFileSync(join(folder, 'bump.pem'), pem + key.export({ type: 'pkcs8', format: 'pem' }));
  return pem;
}

function settings(site: Site, folder: string, port: number, maker: string, mode: SquidMode): string {
  const bump = mode === 'bump all' ? ['ssl_bump bump all'] : ['acl first at_step SslBump1', 'ssl_bump peek first', 'ssl_bump bump all'];
  return [
    `http_port 127.0.0.1:${port} ssl-bump tls-cert=${folder}/bump.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB`,
    `sslcrtd_program ${maker} -s ${folder}/certificates -M 4MB`,
    'sslcrtd_children 1 startup=1 idle=1',
    ...bump,
    `tls_outgoing_options cafile=${site.authorityFile}`,
    'http_access allow all',
    'cache deny all',
    'cache_mem 0 MB',
    'access_log none',
    'cache_store_log none',
    'cache_log /dev/stderr',
    `pid_filename ${folder}/squid.pid`,
    `coredump_dir ${folder}`,
    'shutdown_lifetime 0 seconds',
    'via off',
    'forwarded_for delete',
    'pinger_enable off',
    'server_persistent_connections on',
    'client_persistent_connections on',
    ...(process.getuid?.() === 0 ? ['cache_effective_user proxy'] : []),
    '',
  ].join('\n');
}

function must(program: string, parameters: readonly string[]): void {
  const ended = spawnSync(program, parameters, { encoding: 'utf8' });
  if (ended.status !== 0) throw new Error(`${program} ended with ${ended.status}: ${ended.stderr}`);
}
