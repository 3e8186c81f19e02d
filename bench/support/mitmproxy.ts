import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../test/support/installation.ts';
import { start } from './child.ts';
import { host, type Running, running, type Site } from './site.ts';

const addon = `
class Inject:
    def request(self, flow):
        flow.request.headers["authorization"] = "Bearer bench-key-7d0f31c26a5be948c1"

addons = [Inject()]
`;

/** Starts mitmdump with one addon that sets a header; undefined when this machine has none. */
export async function startMitmproxy(site: Site): Promise<Running | undefined> {
  const program = (process.env.PATH ?? '')
    .split(':')
    .map((folder) => join(folder, 'mitmdump'))
    .find(existsSync);
  if (program === undefined) return undefined;
  const folder = mkdtempSync(join(site.folder, 'mitmproxy-'));
  const script = join(folder, 'inject.py');
  writeFileSync(script, addon);
  const port = await freePort();
  const settings = {
    confdir: folder,
    listen_host: '127.0.0.1',
    listen_port: port,
    ssl_verify_upstream_trusted_ca: site.authorityFile,
    http2: false,
    flow_detail: 0,
  };
  const set = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
  const child = await start(program, [...set, '-s', script], /listening at/, { env: { HOME: folder, PYTHONUNBUFFERED: '1' }, cwd: folder });
  const ca = readFileSync(join(folder, 'mitmproxy-ca-cert.pem'), 'utf8');
  return running('mitmproxy', child, { proxyPort: port, host, port: site.port, ca });
}
