import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { expect, test, vi } from 'vitest';
import { silentLog } from '#kernel';
import { createProxy } from '#proxy';
import { brokerOver } from '../support/brokering.ts';
import { canary, openGateway, service, startApi, upstreamAuthority } from '../support/gateway.ts';

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
if (!hasIpv6) process.stderr.write('not run: needs IPv6 on the loopback interface\n');

test.skipIf(!hasIpv6)('a host that has nothing but an IPv6 address is reached', async () => {
  const seen: (string | undefined)[] = [];
  const server = createServer(upstreamAuthority.issue('api.test'), (request, response) => {
    seen.push(request.headers.authorization);
    response.end('over six');
  });
  await new Promise<void>((resolve) => server.listen(0, '::1', resolve));
  const { port } = server.address() as AddressInfo;
  const { add, ask } = await openGateway({ ports: [port], address: { address: '::1', family: 6 } });
  await add(service('custom', [{ host: 'api.test', port }]));
  expect((await ask(`api.test:${port}`, 'GET / HTTP/1.1')).body).toBe('over six');
  expect(seen).toEqual([`Bearer ${canary}`]);
  server.closeAllConnections();
  server.close();
});

test('the proxy never reaches itself, by address, by a name for it, or by a service that somebody declared there', async () => {
  const { knock, port, add, ask } = await openGateway({ ports: [], names: ['api.test'], net: {} });
  for (const target of [`127.0.0.1:${port}`, `localhost:${port}`, `api.test:${port}`, `[::ffff:127.0.0.1]:${port}`, `[::1]:${port}`]) {
    const { answer, socket } = await knock(target);
    expect(answer, target).toMatch(/^HTTP\/1\.1 (400|403|502) /);
    socket.destroy();
  }
  await add(service('custom', [{ host: 'api.test', port }]));
  const { status, json } = await ask(`api.test:${port}`, 'GET / HTTP/1.1');
  expect(status).toBe(403);
  expect(json()).toMatchObject({ code: 'address_refused' });
});

test('a server that was replaced under running agents knows their runs, their placeholders and their connections', async () => {
  const api = await startApi();
  const target = `api.test:${api.port}`;
  const gateway = await openGateway({ ports: [api.port] });
  const inject = [{ kind: 'placeholder', slots: ['header'] }];
  await gateway.add(service('custom', [{ host: 'api.test', port: api.port }], { inject }));
  const placeholder = gateway.current.started.variables.CUSTOM_KEY as string;
  const request = `GET /echo HTTP/1.1\r\nX-Key: ${placeholder}`;
  expect((await gateway.ask(target, request)).status).toBe(200);
  await gateway.broker.close();
  await gateway.proxy.close(0);
  const { net, people, policy } = gateway;
  const successor = createProxy({ broker: brokerOver(gateway, policy), net, clock: people.clock, log: silentLog });
  const { port } = await successor.listen({ host: '127.0.0.1', port: 0 });
  const { status } = await gateway.through(port).ask(target, request);
  expect(status).toBe(200);
  expect(api.seen.map(({ headers }) => headers['x-key'])).toEqual([canary, canary]);
  await successor.close(0);
});

test('a server that closes takes no more, lets what is under way end, and cuts the rest at its deadline', async () => {
  const api = await startApi();
  const target = `api.test:${api.port}`;
  const gateway = await openGateway({ ports: [api.port] });
  await gateway.add(service('custom', [{ host: 'api.test', port: api.port }]));
  const ending = await gateway.open(target);
  ending.send(`GET /sse/5/40 HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const endless = await gateway.open(target);
  endless.send(`GET /sse/10000/40 HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  await Promise.all([ending.until('data:'), endless.until('data:')]);
  const closed = gateway.proxy.close(1_000);
  await expect(gateway.plain()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  expect(await ending.ended()).toContain('"n":4');
  expect(endless.socket.destroyed).toBe(false);
  gateway.people.clock.advance(1_001);
  await closed;
  await endless.ended();
  await vi.waitFor(async () => {
    await gateway.people.audit.flush();
    const { events } = await gateway.people.audit.search(gateway.run.organization, { name: 'call.finished', limit: 9 });
    expect(events.map(({ fields }) => fields.outcome).sort()).toEqual(['answered', 'cut']);
  });
});
