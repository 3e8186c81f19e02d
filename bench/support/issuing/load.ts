import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from 'undici';
import { freePort } from '../../../test/support/installation.ts';
import { fromSource, root } from '../child.ts';
import { threadSeconds } from '../cpu.ts';
import type { Registered, Target } from './target.ts';

/** An authorization server under measurement, in a process of its own. */
export interface Issuing {
  readonly target: Target;
  codes(count: number): Promise<readonly { readonly code: string; readonly verifier: string }[]>;
  /** Sends so many requests, `inFlight` at once, each made by `next` and its answer given to `read`. */
  measure(count: number, ask: Ask): Promise<Taken>;
  stop(): void;
}

export interface Request {
  readonly path: string;
  /** Undefined: a GET. */
  readonly form?: Readonly<Record<string, string>>;
  readonly by?: Registered;
}

/** `lane` counts the requests in flight: of one lane, each begins when the one before has ended. */
export interface Ask {
  next(lane: number): Request;
  read?(lane: number, answer: Record<string, unknown>): void;
}

export interface Taken {
  /** Microseconds of the server's CPU for each request. */
  readonly cpu: number;
  /** Requests a second. */
  readonly rate: number;
}

/** Requests at once, each on a connection of its own. */
export const inFlight = 32;
const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

export async function startIssuing(file: 'ours' | 'rival' | 'floor'): Promise<Issuing> {
  const port = await freePort();
  const parameters = [...fromSource, join(root, 'bench', 'support', 'issuing', `${file}.ts`), String(port)];
  const env = { PATH: process.env.PATH ?? '', NODE_ENV: 'production' };
  const child = spawn(process.execPath, parameters, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  alive.add(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${file} ended`);
    return JSON.parse(value as string) as unknown;
  };
  const target = (await said()) as Target;
  const clients = Array.from({ length: inFlight }, () => new Client(`http://127.0.0.1:${port}`, { pipelining: 1 }));
  return {
    target,
    async codes(count) {
      child.stdin.write(`${count}\n`);
      return (await said()) as Awaited<ReturnType<Issuing['codes']>>;
    },
    async measure(count, ask) {
      let left = count;
      const lane = async (client: Client, number: number): Promise<void> => {
        while (left-- > 0) await send(client, number, ask);
      };
      const [began, used] = [performance.now(), threadSeconds(child.pid as number)];
      await Promise.all(clients.map(lane));
      const seconds = (performance.now() - began) / 1000;
      return { cpu: ((threadSeconds(child.pid as number) - used) / count) * 1e6, rate: count / seconds };
    },
    stop() {
      for (const client of clients) void client.destroy();
      child.kill('SIGKILL');
      alive.delete(child);
    },
  };
}

async function send(client: Client, lane: number, ask: Ask): Promise<void> {
  const { path, form, by } = ask.next(lane);
  const { statusCode, body } = await client.request({
    path,
    method: form === undefined ? 'GET' : 'POST',
    headers: {
      ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      ...(by === undefined ? {} : { authorization: `Basic ${Buffer.from(`${by.id}:${by.secret}`).toString('base64')}` }),
    },
    ...(form === undefined ? {} : { body: new URLSearchParams(form).toString() }),
  });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${path} answered ${statusCode}: ${text}`);
  ask.read?.(lane, JSON.parse(text) as Record<string, unknown>);
}
