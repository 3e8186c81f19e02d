import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createAgentProof, encodeDidKey, type VerificationKey, verificationKeyOf } from '#oauth';
import { type Installation, owner } from './installation.ts';

/** An answer as it came. */
export interface Heard {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
}

export interface Said {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** One request to the server's own port, with exactly these headers. */
export function say(port: number, { method = 'GET', path, headers = {}, body }: Said): Promise<Heard> {
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port, method, path, agent: false, headers: { host: `localhost:${port}`, ...length, ...headers } },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text: Buffer.concat(parts).toString('utf8') }),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** An agent whose key the test itself holds, so that it can lie. */
export interface HostileAgent {
  readonly id: string;
  readonly handle: string;
  /** The header that proves one request; every part can be another than what is then sent. */
  proof(method: string, path: string, body?: string, origin?: string): string;
  ask(method: string, path: string, body?: string): Promise<Heard>;
  startRun(): Promise<HostileRun>;
}

export interface HostileRun {
  readonly run: string;
  readonly credential: string;
  readonly authority: string;
  readonly variables: Readonly<Record<string, string>>;
}

const json = 'application/json';

/** Registers an agent over loopback and, if told to, has the owner claim and confirm it. */
export async function hostileAgent(site: Installation, handle: string, stand: 'registered' | 'active' = 'active'): Promise<HostileAgent> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = verificationKeyOf(privateKey) as VerificationKey;
  const did = encodeDidKey(key.jwk);
  const proof = proverOf(site, privateKey, did);
  const ask = (method: string, path: string, body?: string): Promise<Heard> =>
    say(site.port, {
      method,
      path,
      headers: { authorization: proof(method, path, body), ...(body === undefined ? {} : { 'content-type': json }) },
      ...(body === undefined ? {} : { body }),
    });
  const made = await ask('POST', '/v1/agents', JSON.stringify({ handle, public_jwk: key.jwk }));
  if (made.status !== 201) throw new Error(`not registered: ${made.status} ${made.text}`);
  const { id } = JSON.parse(made.text) as { id: string };
  if (stand === 'active') await claim(site, id, ask);
  return {
    id,
    handle,
    proof,
    ask,
    async startRun() {
      const started = await ask('POST', '/v1/runs', JSON.stringify({ level: 'cooperative', program: 'x', connections: {}, passed: [] }));
      if (started.status !== 201) throw new Error(`no run: ${started.status} ${started.text}`);
      const view = JSON.parse(started.text) as Record<string, unknown>;
      return {
        run: String(view.run),
        credential: String(view.credential),
        authority: String(view.authority_pem),
        variables: view.variables as Record<string, string>,
      };
    },
  };
}

function proverOf(site: Installation, privateKey: KeyObject, did: string) {
  return (method: string, path: string, body = '', origin = site.url): string =>
    createAgentProof({ privateKey, did, audience: site.url, method, url: `${origin}${path}`, body: Buffer.from(body), now: Date.now() });
}

/** Both halves of a claim, and the owner's word that the agent is theirs. */
async function claim(site: Installation, id: string, ask: HostileAgent['ask']): Promise<void> {
  const offer = JSON.parse((await ask('POST', `/v1/agents/${id}/claim`, '{"host":"here"}')).text) as { code: string };
  const page = await site.browser.open(`${site.url}/claim`);
  await site.browser.submit(page, '/claim', { code: offer.code, password: owner.password });
  await ask('POST', `/v1/agents/${id}/claim/answer`, '{"accept":true}');
  const claimed = await site.browser.open(`${site.url}/claim/${id}`);
  const asked = await site.browser.submit(claimed, `/claim/${id}`);
  await site.browser.submit(asked, '/confirm', { answer: 'yes', password: owner.password });
}

/** Bytes both ways, with nothing between them and the test. */
export interface Line {
  readonly socket: Socket;
  send(text: string | Buffer): void;
  /** Everything heard so far. */
  heard(): string;
  /** Waits until what was heard matches, the peer closes, or `patience` milliseconds pass; forgets what it returns. */
  until(shape: RegExp | 'end', patience?: number): Promise<string>;
}

export function lineOver(socket: Socket): Line {
  let text = '';
  let ended = false;
  const wakes = new Set<() => void>();
  const wake = () => {
    for (const one of [...wakes]) one();
  };
  socket.on('data', (part: Buffer) => {
    text += part.toString('latin1');
    wake();
  });
  for (const event of ['end', 'close', 'error'])
    socket.on(event, () => {
      ended = true;
      wake();
    });
  return {
    socket,
    send: (bytes) => void (socket.writable && socket.write(bytes)),
    heard: () => text,
    until: (shape, patience = 5_000) =>
      new Promise((resolve) => {
        const finish = () => {
          clearTimeout(timer);
          wakes.delete(look);
          const told = text;
          text = '';
          resolve(told);
        };
        const look = () => {
          if (ended || (shape !== 'end' && shape.test(text))) finish();
        };
        const timer = setTimeout(finish, patience);
        wakes.add(look);
        look();
      }),
  };
}

/** A plain connection to one of the installation's ports. */
export async function dialPort(port: number, host = '127.0.0.1'): Promise<Line> {
  const socket = connectTcp({ port, host });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return lineOver(socket);
}

/** `CONNECT`, as the proxy answered it. */
export async function connectThrough(site: Installation, credential: string, target: string): Promise<{ line: Line; answer: string }> {
  const line = await dialPort(site.proxyPort);
  line.send(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Bearer ${credential}\r\n\r\n`);
  return { line, answer: await line.until(/\r\n\r\n/) };
}

/** A decrypted tunnel to an intercepted host. */
export async function tunnelTo(site: Installation, run: HostileRun, target: string): Promise<Line> {
  const { line, answer } = await connectThrough(site, run.credential, target);
  if (!/^HTTP\/1\.1 200 /.test(answer)) throw new Error(`no tunnel: ${answer}`);
  line.socket.removeAllListeners('data');
  const host = target.replace(/:\d+$/, '');
  const secured = connectTls({ socket: line.socket, servername: host, ca: run.authority });
  await new Promise<void>((resolve, reject) => {
    secured.once('secureConnect', resolve);
    secured.once('error', reject);
  });
  return lineOver(secured);
}

/** One exchange on a tunnel that is then closed. */
export async function once(site: Installation, run: HostileRun, target: string, head: string, patience?: number): Promise<string> {
  const line = await tunnelTo(site, run, target);
  line.send(head);
  const answer = await line.until('end', patience ?? 1_500);
  line.socket.destroy();
  return answer;
}
