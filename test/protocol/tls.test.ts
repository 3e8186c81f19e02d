import { X509Certificate } from 'node:crypto';
import { connect as connectTls } from 'node:tls';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { brokerOver } from '../support/brokering.ts';
import { selfSigned, testAuthority } from '../support/certificates.ts';
import { canary, type Gateway, type GatewayOptions, openGateway, service, startApi, upstreamAuthority } from '../support/gateway.ts';
import { startUpstream, type Upstream } from '../support/upstream.ts';

let api: Upstream;
let gateway: Gateway;
beforeAll(async () => {
  api = await startApi();
  gateway = await openGateway({ ports: [api.port] });
  await gateway.add(
    service('custom', [
      { host: 'api.test', port: api.port },
      { host: '*.wild.test', port: api.port, tenant: false },
    ]),
  );
});

describe('the certificate that a program sees', () => {
  test('names the one host that was asked for, also where a provider owns all names below one, and lives for days', async () => {
    const { socket } = await gateway.open(`a.wild.test:${api.port}`);
    const leaf = new X509Certificate(socket.getPeerX509Certificate()?.raw as Buffer);
    expect(leaf.subjectAltName).toBe('DNS:a.wild.test');
    expect(leaf.subject ?? '').not.toContain('*');
    expect(leaf.checkHost('b.wild.test')).toBeUndefined();
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)).toBeLessThan(398 * 86_400_000);
    expect(leaf.ca).toBe(false);
    socket.destroy();
  });

  test('is signed by the same authority after a restart', async () => {
    const { people, run, policy } = gateway;
    const restarted = brokerOver(gateway, policy);
    const leaf = new X509Certificate((await restarted.authority(run.organization)).leaf('api.test').certificatePem);
    const trusted = new X509Certificate(gateway.current.started.authorityPem);
    expect(leaf.verify(trusted.publicKey)).toBe(true);
    expect(leaf.checkIssued(trusted)).toBe(true);
    expect(people.organization.id).toBe(run.organization);
  });
});

describe('the protocol inside a tunnel', () => {
  test('is HTTP/1.1 for a program that offers HTTP/2 as well, and for one that offers nothing', async () => {
    for (const [offered, agreed] of [
      [['h2', 'http/1.1'], 'http/1.1'],
      [['http/1.1'], 'http/1.1'],
      [undefined, false],
    ] as const) {
      const { socket } = await gateway.open(`api.test:${api.port}`, offered ? { ALPNProtocols: [...offered] } : {});
      expect(socket.alpnProtocol).toBe(agreed);
      socket.destroy();
    }
  });

  test('is refused in the handshake, not later, to a program that speaks HTTP/2 alone', async () => {
    const { socket } = await gateway.knock(`api.test:${api.port}`);
    for (const event of ['data', 'end', 'close', 'error']) socket.removeAllListeners(event);
    const code = await new Promise<string>((resolve) => {
      const ca = gateway.current.started.authorityPem;
      const secured = connectTls({ socket, servername: 'api.test', ca, ALPNProtocols: ['h2'] }, () => resolve('agreed'));
      secured.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    expect(code).toMatch(/ALPN|NO_APPLICATION_PROTOCOL/i);
  });
});

describe('an upstream that nobody can vouch for', () => {
  const stranger = testAuthority('test');

  async function strange(net?: GatewayOptions['net'], certificate = stranger.issue('api.test')) {
    const upstream = await startUpstream(certificate);
    const own = await openGateway({ ports: [upstream.port], ...(net ? { net } : {}) });
    await own.add(service('custom', [{ host: 'api.test', port: upstream.port }]));
    return { ...own, upstream, target: `api.test:${upstream.port}` };
  }

  async function webSocket({ openSocket }: Pick<Gateway, 'openSocket'>, target: string): Promise<string> {
    const secured = await openSocket(target);
    const socket = new WebSocket(`wss://${target}/ws`, { createConnection: () => secured } as never);
    return new Promise((resolve) => {
      socket.once('open', () => resolve('open'));
      socket.once('error', (error) => resolve(error.message));
    });
  }

  test.each([
    ['signed itself', selfSigned('api.test'), 'upstream_certificate_untrusted'],
    ['comes from a root that nobody trusts', stranger.issue('api.test'), 'upstream_certificate_untrusted'],
    ['has run out', upstreamAuthority.issue('api.test', { from: -48, until: -24 }), 'upstream_certificate_expired'],
    ['does not hold yet', upstreamAuthority.issue('api.test', { from: 24, until: 48 }), 'upstream_certificate_expired'],
    ['is for another name', upstreamAuthority.issue('other.test'), 'upstream_certificate_name'],
    ['is for a name below', upstreamAuthority.issue('a.api.test'), 'upstream_certificate_name'],
  ])('whose certificate %s gets no request and no credential, over HTTP or as a WebSocket', async (_, certificate, code) => {
    const { upstream, target, ask, openSocket, people, run } = await strange(undefined, certificate);
    const { status, json, text } = await ask(target, 'POST /echo HTTP/1.1\r\nContent-Length: 4', 'body');
    expect([status, json().code]).toEqual([502, code]);
    expect(text).not.toContain(canary);
    expect(await webSocket({ openSocket }, target)).toContain('502');
    expect(upstream.seen).toEqual([]);
    await vi.waitFor(async () => {
      await people.audit.flush();
      const { events } = await people.audit.search(run.organization, { name: 'call.finished', limit: 9 });
      expect(events.map(({ fields }) => fields.code)).toEqual([code, code]);
    });
    await upstream.close();
  });

  test.each([
    ['root', (pem: string) => pem],
    ['own certificate', (_: string, leaf: string) => leaf],
  ])('whose %s the operator distrusts, as one that was revoked, gets no request, whoever trusts it otherwise', async (_, which) => {
    const certificate = stranger.issue('api.test');
    const distrusted = [new X509Certificate(which(stranger.pem, certificate.cert)).fingerprint256.replaceAll(':', '')];
    const trusting = { extraAuthorities: { 'api.test': [stranger.pem] } };
    const { upstream, target, ask, openSocket } = await strange({ ...trusting, distrusted }, certificate);
    expect((await ask(target, 'GET /echo HTTP/1.1')).json()).toMatchObject({ status: 502, code: 'upstream_certificate_revoked' });
    expect(await webSocket({ openSocket }, target)).toContain('502');
    expect(upstream.seen).toEqual([]);
    await upstream.close();
  });

  test('is used, over HTTP and as a WebSocket, once the operator adds its authority for that host', async () => {
    const { upstream, target, ask, openSocket } = await strange({ extraAuthorities: { 'api.test': [stranger.pem] } });
    expect((await ask(target, 'GET /echo HTTP/1.1')).status).toBe(200);
    expect(await webSocket({ openSocket }, target)).toBe('open');
    expect(upstream.seen.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${canary}`, `Bearer ${canary}`]);
    await upstream.close();
  });

  test('stays refused when its authority is added for another host only', async () => {
    const { upstream, target, ask } = await strange({
      extraAuthorities: { 'other.test': [stranger.pem], 'api.test': [upstreamAuthority.pem] },
    });
    expect((await ask(target, 'GET /echo HTTP/1.1')).json()).toMatchObject({ code: 'upstream_certificate_untrusted' });
    await upstream.close();
  });

  test('is used unchecked, over HTTP and as a WebSocket, only where the operator lists the host', async () => {
    const listed = await strange({ extraAuthorities: {}, skipVerifyHosts: ['api.test'] });
    expect((await listed.ask(listed.target, 'GET /echo HTTP/1.1')).status).toBe(200);
    expect(await webSocket(listed, listed.target)).toBe('open');
    await listed.upstream.close();
    const other = await strange({ extraAuthorities: {}, skipVerifyHosts: ['other.test', 'test'] });
    expect((await other.ask(other.target, 'GET /echo HTTP/1.1')).json()).toMatchObject({ code: 'upstream_certificate_untrusted' });
    expect(await webSocket(other, other.target)).toContain('502');
    expect(other.upstream.seen).toEqual([]);
    await other.upstream.close();
  });
});
