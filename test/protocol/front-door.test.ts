import { beforeAll, describe, expect, test } from 'vitest';
import { canary, type Gateway, openGateway, readAnswer, service, startApi } from '../support/gateway.ts';
import { startUpstream, type Upstream } from '../support/upstream.ts';

let api: Upstream;
let clear: Upstream;
let gateway: Gateway;
let target: string;

beforeAll(async () => {
  api = await startApi();
  clear = await startUpstream();
  gateway = await openGateway({ ports: [api.port, clear.port], limits: { badTokens: 1_000 } });
  await gateway.add(service('custom', [{ host: 'api.test', port: api.port }]));
  target = `api.test:${api.port}`;
  return () => clear.close();
});

async function exchange(text: string): Promise<string> {
  const { send, ended } = await gateway.plain();
  send(text);
  return ended();
}

const proof = () => `Proxy-Authorization: Bearer ${gateway.current.started.credential.reveal()}\r\n`;

describe('a CONNECT', () => {
  test('with a credential that is none, of another kind, or that has ended is refused before any 200', async () => {
    const ended = await gateway.startRun();
    await gateway.broker.endRun(gateway.agent, ended.started.run, 'ended');
    const placeholder = gateway.current.started.variables.CUSTOM_KEY as string;
    for (const credential of [
      '',
      'x',
      placeholder,
      canary,
      `${gateway.current.started.credential.reveal()}x`,
      ended.started.credential.reveal(),
    ]) {
      const { answer, socket } = await gateway.knock(target, credential);
      expect(answer).toMatch(/^HTTP\/1\.1 407 /);
      expect(answer).toContain('Proxy-Authenticate: ');
      expect(answer).not.toContain(' 200 ');
      socket.destroy();
    }
  });

  test('of a suspended agent is refused before any 200, and good again for a new run once the agent is re-activated', async () => {
    const { people, agent, by, knock, broker, current } = gateway;
    await people.identity.suspend(by, agent.id);
    const refused = await knock(target);
    expect(refused.answer).toMatch(/^HTTP\/1\.1 40[37] /);
    refused.socket.destroy();
    const active = await gateway.write((tx) => people.identity.reactivate(tx, by, agent.id));
    const revived = await knock(target);
    expect(revived.answer).toMatch(/^HTTP\/1\.1 407 /);
    revived.socket.destroy();
    const started = await broker.startRun(active, { level: 'cooperative', program: 'python', connections: {}, passed: [] });
    Object.assign(current, { started, run: await broker.authenticateRun(started.credential.reveal()) });
    const good = await knock(target);
    expect(good.answer).toMatch(/^HTTP\/1\.1 200 /);
    good.socket.destroy();
  });

  test('whose credential has run out is refused, and renewing brings it back', async () => {
    const own = await openGateway({ ports: [api.port] });
    await own.people.pass(5 * 60_000 + 1);
    const late = await own.knock(target);
    expect(late.answer).toMatch(/^HTTP\/1\.1 407 /);
    const { credential } = await own.broker.renewRun(own.agent, own.current.started.run);
    const renewed = await own.knock(target, credential.reveal());
    expect(renewed.answer).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('a request in clear text', () => {
  test('reaches a host without a connection, and is refused at every port of a host that has one', async () => {
    const to = (host: string) => exchange(`GET http://${host}/echo HTTP/1.1\r\nHost: ${host}\r\n${proof()}Connection: close\r\n\r\n`);
    expect(readAnswer(await to(`other.test:${clear.port}`)).status).toBe(200);
    const seen = clear.seen.length;
    for (const host of [`api.test:${clear.port}`, `API.test:${clear.port}`, `api.test.:${clear.port}`]) {
      const answer = await to(host);
      expect(answer, host).toMatch(/^HTTP\/1\.1 (403|421|400) /);
    }
    expect(clear.seen.length).toBe(seen);
  });

  test('with an https target goes over TLS with the credential, and never in the clear', async () => {
    const answer = await exchange(`GET https://${target}/echo HTTP/1.1\r\nHost: ${target}\r\n${proof()}Connection: close\r\n\r\n`);
    expect(readAnswer(answer).status).toBe(200);
    expect(answer).not.toContain(canary);
    expect(api.seen.at(-1)?.headers.authorization).toBe(`Bearer ${canary}`);
    const misled = `GET https://api.test:${clear.port}/echo HTTP/1.1\r\nHost: api.test:${clear.port}\r\n${proof()}Connection: close\r\n\r\n`;
    const seen = clear.seen.length;
    expect(readAnswer(await exchange(misled)).status).toBe(502);
    expect(clear.seen.length).toBe(seen);
  });
});

test('what is meant for the proxy never reaches the upstream, in whatever field it stands', async () => {
  const token = gateway.current.started.credential.reveal();
  const copies = [
    `Proxy-Authorization: Bearer ${token}`,
    'Proxy-Connection: keep-alive',
    'Proxy-Anything: 1',
    'Gatehouse-Connection: default',
    'Gatehouse-Anything: 1',
    `X-Copy: ${token}`,
    `X-Encoded: ${encodeURIComponent(token)}`,
    `X-Basic: Basic ${Buffer.from(`run:${token}`).toString('base64')}`,
    `User-Agent: agent (${token})`,
    'X-Stay: 1',
  ];
  await gateway.ask(target, ['GET /echo HTTP/1.1', ...copies].join('\r\n'));
  const { rawHeaders } = api.seen.at(-1) as NonNullable<(typeof api.seen)[number]>;
  expect(rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())).toEqual(
    expect.arrayContaining(['host', 'x-stay', 'authorization']),
  );
  expect(rawHeaders.join('\n')).not.toMatch(/proxy-|gatehouse|x-copy|x-encoded|x-basic|user-agent/i);
  expect(rawHeaders.join('\n')).not.toContain(token);
});

test('hop-by-hop fields and those that Connection names end here, both ways', async () => {
  const own = await startApi({
    hops: (_, response) =>
      response
        .writeHead(200, { connection: 'X-Down, keep-alive', 'keep-alive': 'timeout=5', 'x-down': '1', 'x-keep': '1', 'proxy-status': 'x' })
        .end('ok'),
  });
  const { add, ask } = await openGateway({ ports: [own.port] });
  await add(service('custom', [{ host: 'api.test', port: own.port }]));
  const { head } = await ask(
    `api.test:${own.port}`,
    'GET /hops HTTP/1.1\r\nConnection: X-Up\r\nX-Up: 1\r\nKeep-Alive: timeout=9\r\nTE: gzip\r\nUpgrade: h2c\r\nX-Keep: 1',
  );
  const sent = own.seen.at(-1)?.rawHeaders.join('\n').toLowerCase() ?? '';
  expect(sent).toContain('x-keep');
  expect(sent).not.toMatch(/x-up|keep-alive|\bte\b|upgrade|h2c/);
  expect(head).toContain('x-keep');
  expect(head).not.toMatch(/x-down|keep-alive|proxy-status/i);
});
