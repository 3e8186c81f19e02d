import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { Clock } from '#kernel';
import { bearerValue } from '#oauth';
import { createEnding, type Ending } from '../run/ending.ts';
import { childEnvironment, type Variables } from '../run/environment.ts';
import { findProgram, makeRunFolder } from '../run/folder.ts';
import { openForwarder } from '../run/forwarder.ts';
import { trialCertificates } from './certificate.ts';
import { duplexPair } from './duplex-pair.ts';
import { type Runtime, runtimes } from './runtimes.ts';

export interface TrialResult {
  readonly runtime: string;
  readonly result: 'works' | 'fails' | 'not installed' | 'known limit';
  readonly note?: string;
}

/** A name that leads nowhere: an answer can only come from our end of the tunnel, under a certificate of the run's authority. */
const host = 'doctor.gatehouse-trial.net';
/** Long enough for a compiler whose cache is empty. */
const patience = 120_000;

/**
 * Starts every installed runtime in the environment that `run` gives, behind the same forwarder, and sees whether its
 * call comes through: it then used the proxy with its credential and trusted the run's authority.
 */
export async function tryRuntimes(env: Variables, clock: Clock, onResult: (result: TrialResult) => void): Promise<readonly TrialResult[]> {
  const ending = createEnding();
  try {
    const bench = await buildBench(env, clock, ending);
    const results: TrialResult[] = [];
    const waiting = [...runtimes];
    const work = async () => {
      for (let runtime = waiting.shift(); runtime !== undefined; runtime = waiting.shift()) {
        const result = await tryOne(runtime, bench);
        results.push(result);
        onResult(result);
      }
    };
    await Promise.all(Array.from({ length: 3 }, work));
    const order = new Map(runtimes.map((runtime, index) => [runtime.name, index]));
    return results.sort((a, b) => (order.get(a.runtime) ?? 0) - (order.get(b.runtime) ?? 0));
  } finally {
    await ending.all();
  }
}

interface Bench {
  readonly env: Readonly<Record<string, string>>;
  readonly path: string | undefined;
  readonly folder: string;
  /** Marks that arrived inside TLS. */
  readonly arrived: ReadonlySet<string>;
}

async function buildBench(env: Variables, clock: Clock, ending: Ending): Promise<Bench> {
  const certificates = trialCertificates(host, clock.now());
  const arrived = new Set<string>();
  const childCredential = bearerValue(16);
  const forwarder = await openForwarder({
    childCredential,
    carrier: { open: async () => trialProxy(certificates, arrived), close() {} },
    runCredential: () => 'trial',
    renew: async () => false,
  });
  ending.add(() => forwarder.close());
  const run = makeRunFolder(env);
  ending.add(() => run.remove());
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-doctor-'));
  ending.add(() => rmSync(folder, { recursive: true, force: true }));
  const proxy = { host: forwarder.host, port: forwarder.port, credential: childCredential };
  run.fill({ authorityPem: certificates.authorityPem, proxy, now: clock.now() });
  const made = childEnvironment({
    parent: env,
    provided: {},
    pass: [],
    run: 'doctor',
    level: 'cooperative',
    proxy,
    files: run.files,
    java: run.java,
  });
  return { env: made.env, path: env.PATH, folder, arrived };
}

/** Our end of a tunnel: answers CONNECT, ends TLS as the host, and notes what was asked for. */
function trialProxy(certificates: ReturnType<typeof trialCertificates>, arrived: Set<string>): Duplex {
  const [near, far] = duplexPair();
  const inner = createHttpServer((request, response) => {
    for (const mark of request.url?.match(/[0-9a-f]{32}/g) ?? []) arrived.add(mark);
    response.writeHead(404, { 'content-type': 'text/plain', connection: 'close' }).end('seen\n');
  });
  const outer = createHttpServer((_request, response) => response.writeHead(403).end());
  const secureContext = createSecureContext({ cert: certificates.leafPem, key: certificates.leafKeyPem });
  outer.on('connect', (_request, socket: Duplex) => {
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    const secure = new TLSSocket(socket as never, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
    secure.on('error', () => secure.destroy());
    inner.emit('connection', secure);
  });
  far.on('error', () => far.destroy());
  outer.emit('connection', far);
  return near;
}

async function tryOne(runtime: Runtime, bench: Bench): Promise<TrialResult> {
  const { name } = runtime;
  const program = findProgram(runtime.program, bench.path);
  if (program === undefined) return { runtime: name, result: 'not installed' };
  if (runtime.needs !== undefined && (await start(program, runtime.needs, bench, bench.folder)).code !== 0)
    return { runtime: name, result: 'not installed' };
  const mark = randomBytes(16).toString('hex');
  const url = `https://${host}/${mark}`;
  const folder = mkdtempSync(join(bench.folder, 'trial-'));
  if (runtime.file !== undefined) writeFileSync(join(folder, runtime.file.name), runtime.file.text(url));
  const ended = await start(program, runtime.parameters(url), { ...bench, env: { ...bench.env, ...runtime.env?.(url) } }, folder);
  if (bench.arrived.has(mark)) return { runtime: name, result: 'works' };
  if (runtime.limit !== undefined) return { runtime: name, result: 'known limit', note: runtime.limit };
  return { runtime: name, result: 'fails', note: lastLine(ended.said) };
}

function start(
  program: string,
  parameters: readonly string[],
  bench: Bench,
  cwd: string,
): Promise<{ readonly code: number | null; readonly said: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, [...parameters], {
      env: bench.env,
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: patience,
      killSignal: 'SIGKILL',
    });
    let said = '';
    const hear = (part: Buffer) => {
      said = (said + part.toString()).slice(-4000);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', (error) => resolve({ code: null, said: error.message }));
    child.once('close', (code, signal) =>
      resolve({ code, said: signal === 'SIGKILL' ? `did not end within ${patience / 1_000} s` : said }),
    );
  });
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 160) ?? '';
}
