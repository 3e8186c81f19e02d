import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type Server } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { authorityCertificate, leafCertificate, newKey, signer } from './x509.ts';

const run = promisify(execFile);
const hour = 3_600_000;
const now = Date.now();
const validity = { from: now - hour, until: now + 12 * hour };
const authority = signer('Gatehouse org_test', newKey());
const process1 = signer('Gatehouse', newKey());
const root = authorityCertificate(authority, ['api.example.com', 'example.org'], validity);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'x509-'));
  await writeFile(join(folder, 'root.pem'), root);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function opensslVerify(leaf: string, ...more: string[]): Promise<string> {
  const file = join(folder, `${Math.floor(performance.now() * 1000)}.pem`);
  await writeFile(file, leaf);
  const args = ['verify', '-x509_strict', '-no-CApath', '-CAfile', join(folder, 'root.pem'), ...more, file];
  return run('openssl', args).then(
    ({ stdout }) => stdout,
    (error: { stderr: string }) => error.stderr,
  );
}

describe('the authority', () => {
  const parsed = new X509Certificate(root);

  test('is a certificate that signed itself and may sign others', () => {
    expect(parsed.ca).toBe(true);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.checkIssued(parsed)).toBe(true);
  });

  test('says its limits critically, as openssl reads them', async () => {
    const { stdout } = await run('openssl', ['x509', '-in', join(folder, 'root.pem'), '-noout', '-text']);
    expect(stdout).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    expect(stdout).toMatch(/Key Usage: critical\s+Certificate Sign\s/);
    expect(stdout).toMatch(
      /Name Constraints: critical\s+Permitted:\s+DNS:api.example.com\s+DNS:example.org\s+Excluded:\s+IP:0.0.0.0\/0.0.0.0/,
    );
    expect(stdout).toContain('TLS Web Server Authentication');
  });

  test('without a single host may sign for nobody', async () => {
    const barren = signer('Gatehouse org_empty', newKey());
    await writeFile(join(folder, 'barren.pem'), authorityCertificate(barren, [], validity));
    const leaf = leafCertificate(barren, process1, 'api.example.com', validity);
    await writeFile(join(folder, 'barren-leaf.pem'), leaf);
    const args = ['verify', '-CAfile', join(folder, 'barren.pem'), join(folder, 'barren-leaf.pem')];
    await expect(run('openssl', args)).rejects.toMatchObject({ stderr: expect.stringContaining('permitted subtree violation') });
  });

  test('of a later day fits the leaves of an earlier one, because name and key stay', async () => {
    const later = authorityCertificate(authority, ['api.example.com'], { from: now - hour, until: now + 23 * hour });
    const leaf = new X509Certificate(leafCertificate(authority, process1, 'api.example.com', validity));
    expect(leaf.checkIssued(new X509Certificate(later))).toBe(true);
  });
});

describe('a leaf', () => {
  test('has the name, the usage, the links to its authority, and is no authority itself', () => {
    const leaf = new X509Certificate(leafCertificate(authority, process1, 'api.example.com', validity));
    expect(leaf.subjectAltName).toBe('DNS:api.example.com');
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(leaf.ca).toBe(false);
    expect(leaf.verify(new X509Certificate(root).publicKey)).toBe(true);
    expect(leaf.checkPrivateKey(process1.key)).toBe(true);
    expect(Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)).toBe(13 * hour);
    expect(leaf.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  test('within the permitted names verifies strictly with openssl', async () => {
    for (const host of ['api.example.com', 'a.api.example.com', 'example.org', 'x.example.org']) {
      const leaf = leafCertificate(authority, process1, host, validity);
      expect(await opensslVerify(leaf, '-purpose', 'sslserver', '-verify_hostname', host)).toContain(': OK');
    }
  });

  test('outside the permitted names does not verify, however its signature stands', async () => {
    for (const host of ['example.com', 'evil-example.org', 'github.com', 'xapi.example.com']) {
      const leaf = leafCertificate(authority, process1, host, validity);
      expect(await opensslVerify(leaf)).toContain('permitted subtree violation');
    }
  });

  test('for a name longer than a common name may be still verifies', async () => {
    const host = `${'a'.repeat(60)}.${'b'.repeat(40)}.example.org`;
    expect(await opensslVerify(leafCertificate(authority, process1, host, validity), '-verify_hostname', host)).toContain(': OK');
  });

  test('that has expired does not verify', async () => {
    const leaf = leafCertificate(authority, process1, 'example.org', { from: now - 3 * hour, until: now - hour });
    expect(await opensslVerify(leaf)).toContain('certificate has expired');
  });

  test('dated after 2049 is dated rightly', () => {
    const far = Date.UTC(2061, 4, 6, 7, 8, 9);
    const leaf = new X509Certificate(leafCertificate(authority, process1, 'example.org', { from: now, until: far }));
    expect(Date.parse(leaf.validTo)).toBe(far);
  });
});

describe('a real handshake', () => {
  let server: Server;
  let port: number;

  beforeAll(async () => {
    const leaf = leafCertificate(authority, process1, 'api.example.com', validity);
    server = createServer({ cert: leaf, key: process1.key.export({ type: 'pkcs8', format: 'pem' }) as string }, (socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'));
    });
    server.on('tlsClientError', () => {});
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => new Promise((closed) => server.close(closed)));

  test('is accepted by Node', async () => {
    const name = await new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, servername: 'api.example.com', ca: root }, () => {
        resolve(socket.getPeerCertificate().subject.CN);
        socket.destroy();
      });
      socket.once('error', reject);
    });
    expect(name).toBe('api.example.com');
  });

  test('is accepted by curl', async () => {
    const url = `https://api.example.com:${port}/`;
    const resolve = `api.example.com:${port}:127.0.0.1`;
    const { stdout } = await run('curl', ['-sS', '--noproxy', '*', '--cacert', join(folder, 'root.pem'), '--resolve', resolve, url]);
    expect(stdout).toBe('ok');
  });

  test('is accepted by Python, strictly', async () => {
    const program = [
      'import ssl, socket, sys',
      'context = ssl.create_default_context(cafile=sys.argv[1])',
      'context.verify_flags |= ssl.VERIFY_X509_STRICT',
      's = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="api.example.com")',
      'print(s.getpeercert()["subjectAltName"][0][1])',
    ].join('\n');
    const { stdout } = await run('python3', ['-c', program, join(folder, 'root.pem'), String(port)]);
    expect(stdout.trim()).toBe('api.example.com');
  });
});
