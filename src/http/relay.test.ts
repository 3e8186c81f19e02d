import type { Duplex } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { createWebSocketStream, WebSocket } from 'ws';
import { newId } from '#kernel';
import { testIssuer, testKeys } from '../../test/support/people.ts';
import { type ActiveAgent, agentOf, openServing, proving, type Serving, type SignedIn, signedIn } from '../../test/support/serving.ts';

const path = '/v1/relay';
let serving: Serving;
let person: SignedIn;
let worker: ActiveAgent;
const taken: { readonly stream: Duplex; readonly address: string }[] = [];

beforeAll(async () => {
  serving = await openServing({
    http: {
      relay: (stream, address) => {
        taken.push({ stream, address });
        stream.pipe(stream);
      },
    },
  });
  person = await signedIn(serving);
  worker = await agentOf(serving, person.user);
});

function dial(headers: Readonly<Record<string, string>>, at = path): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${serving.port}${at}`, {
    headers: { host: 'gatehouse.example', ...headers },
    perMessageDeflate: false,
  });
}

/** The status it was refused with, and the code of the problem document. */
function refusal(socket: WebSocket): Promise<readonly [number, string]> {
  return new Promise((resolve, reject) => {
    socket.on('open', () => reject(new Error('it was opened')));
    socket.on('error', () => {});
    socket.on('unexpected-response', async (_, answer) => {
      let text = '';
      for await (const part of answer) text += String(part);
      resolve([answer.statusCode ?? 0, (JSON.parse(text) as { code: string }).code]);
    });
  });
}

const proof = (method = 'GET', at = path) => proving(serving, worker.keys, method, at);

describe('the relay', () => {
  it('carries bytes both ways for an agent that proves itself', async () => {
    const socket = dial({ authorization: proof() });
    const stream = createWebSocketStream(socket);
    const sent = Buffer.alloc(1 << 20, 'gatehouse');
    stream.write(sent);
    const parts: Buffer[] = [];
    for await (const part of stream) {
      parts.push(part as Buffer);
      if (Buffer.concat(parts).length >= sent.length) break;
    }
    expect(Buffer.concat(parts).equals(sent)).toBe(true);
    expect(taken.at(-1)?.address).toBe('127.0.0.1');
  });

  it('takes a proof once, and for itself alone', async () => {
    const authorization = proof();
    const socket = dial({ authorization });
    await new Promise((resolve) => socket.once('open', resolve));
    expect(await refusal(dial({ authorization }))).toEqual([401, 'proof_replayed']);
    expect(await refusal(dial({ authorization: proof('GET', '/v1/whoami') }))).toEqual([401, 'invalid_proof']);
    socket.terminate();
  });

  it('takes no other evidence', async () => {
    const before = taken.length;
    const run = await serving.broker.startRun(worker.agent, { level: 'cooperative', program: 'x', connections: {}, passed: [] });
    const credential = run.credential.reveal();
    expect(await refusal(dial({}))).toEqual([401, 'unauthenticated']);
    expect(await refusal(dial({ authorization: `Bearer ${credential}` }))).toEqual([401, 'unauthenticated']);
    expect(await refusal(dial({ 'proxy-authorization': `Bearer ${credential}` }))).toEqual([401, 'unauthenticated']);
    expect((await refusal(dial({ cookie: person.cookie })))[0]).toBe(403);
    expect((await refusal(dial({ authorization: proving(serving, testKeys(), 'GET', path) })))[1]).toBe('agent_unknown');
    expect(taken).toHaveLength(before);
  });

  it('is not for pages, nor under another name', async () => {
    expect(await refusal(dial({ authorization: proof(), origin: testIssuer }))).toEqual([403, 'origin_refused']);
    expect(await refusal(dial({ authorization: proof(), host: 'evil.example' }))).toEqual([421, 'host_unknown']);
  });

  it('is the only thing that is upgraded', async () => {
    for (const at of ['/', '/v1/whoami', '/v1/relay/x', '/v1/relay?x=1', '/health']) {
      expect(await refusal(dial({ authorization: proof('GET', at) }, at))).toEqual([404, 'not_found']);
    }
  });

  it('is closed to an agent that was suspended', async () => {
    const other = await agentOf(serving, person.user, `other-${newId('agt').slice(-6)}`);
    await serving.people.identity.suspend(person.session.principal, other.agent.id);
    const authorization = proving(serving, other.keys, 'GET', path);
    expect((await refusal(dial({ authorization })))[1]).toBe('agent_not_active');
  });

  it('closes on text: it carries bytes', async () => {
    const socket = dial({ authorization: proof() });
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send('hello');
    expect(await new Promise((resolve) => socket.once('close', resolve))).toBe(1003);
  });

  it('ends with the server', async () => {
    const socket = dial({ authorization: proof() });
    await new Promise((resolve) => socket.once('open', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    await serving.http.close(100);
    await closed;
  });
});
