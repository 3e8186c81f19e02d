import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './store.ts';

/** PEM texts: an authority, and a certificate by it for `localhost` that is good for a server and for a client. */
export interface MutualTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Made by `openssl`. */
export function mutualTls(): MutualTls {
  const folder = temporaryFolder();
  const openssl = (...parameters: readonly string[]) => execFileSync('openssl', parameters, { cwd: folder, stdio: 'pipe' });
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=Authority of a test', '-days', '2');
  openssl('req', ...newKey, '-keyout', 'key.pem', '-out', 'request.pem', '-subj', '/CN=localhost');
  writeFileSync(join(folder, 'extensions'), 'subjectAltName=DNS:localhost\n');
  const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'extensions'];
  openssl('x509', '-req', '-in', 'request.pem', ...by, '-days', '2', '-out', 'cert.pem');
  const text = (name: string) => readFileSync(join(folder, name), 'utf8');
  return { ca: text('ca.pem'), cert: text('cert.pem'), key: text('key.pem') };
}
