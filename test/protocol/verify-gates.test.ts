import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#kernel';
import { createVerifier, forExpress, forFastify, forHono, tokenOf, type Verifier } from '#verify';
import { api, type Issuance, openIssuance, type Registered } from '../support/issuing.ts';
import { testIssuer } from '../support/people.ts';
import { openServing } from '../support/serving.ts';

let issuance: Issuance;
let client: Registered;
let verifier: Verifier;
const servers: Server[] = [];

/** The framework's application, with one route for everybody and one that needs a scope. */
const frameworks: readonly { readonly name: string; open(verifier: Verifier): Promise<RequestListener> }[] = [
  {
    name: 'Express',
    async open(of) {
      const gate = forExpress(of);
      const app = express();
      app.use(gate.metadata);
      app.get('/things', gate.needs(), (request, response) => void response.json({ subject: tokenOf(request).subject }));
      app.get('/write', gate.needs({ scopes: ['things:write'] }), (_, response) => void response.json({}));
      return app;
    },
  },
  {
    name: 'Fastify',
    async open(of) {
      const gate = forFastify(of);
      const app = fastify();
      app.get(of.metadataPath, gate.metadata);
      app.get('/things', { onRequest: gate.needs() }, async (request) => ({ subject: tokenOf(request).subject }));
      app.get('/write', { onRequest: gate.needs({ scopes: ['things:write'] }) }, async () => ({}));
      await app.ready();
      return (request, response) => app.routing(request, response);
    },
  },
  {
    name: 'Hono',
    async open(of) {
      const gate = forHono(of);
      const app = new Hono();
      app.get(of.metadataPath, gate.metadata);
      app.get('/things', gate.needs(), (context) => context.json({ subject: tokenOf(context).subject }));
      app.get('/write', gate.needs({ scopes: ['things:write'] }), (context) => context.json({}));
      return getRequestListener(app.fetch);
    },
  },
];

beforeAll(async () => {
  const serving = await openServing();
  issuance = await openIssuance(serving.people, serving.issuer);
  client = await issuance.add();
  const { clock } = serving.people;
  const clocks = { now: () => clock.now(), monotonic: () => performance.now() };
  verifier = createVerifier({ issuer: testIssuer, url: `http://127.0.0.1:${serving.port}`, resource: api, clock: clocks });
  await verifier.ready();
});
afterAll(async () => {
  for (const server of servers) server.close();
  await verifier?.close();
});

describe.each(frameworks)('a gate of $name', ({ open }) => {
  let url: string;
  beforeAll(async () => {
    const server = createServer(await open(verifier)).listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  const get = (path: string, token?: string) =>
    fetch(url + path, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
  const tokens = async (scope: string) =>
    (await issuance.token(client, { grant_type: 'client_credentials', resource: api, scope })).accessToken.reveal();

  it('lets a good token through, and gives it to the handler', async () => {
    const answer = await get('/things', await tokens('things:read'));
    expect([answer.status, await answer.json()]).toEqual([200, { subject: client.id }]);
  });

  it('challenges who comes without one, with the place of the metadata', async () => {
    const answer = await get('/things');
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toContain(`resource_metadata="${verifier.metadataUrl}"`);
    const metadata = await get(new URL(verifier.metadataUrl).pathname);
    expect(await metadata.json()).toMatchObject({ resource: api, authorization_servers: [testIssuer] });
    expect(metadata.headers.get('access-control-allow-origin')).toBe('*');
  });

  it('refuses a token that does not reach so far, and the handler is not called', async () => {
    const answer = await get('/write', await tokens('things:read'));
    expect([answer.status, await answer.json()]).toMatchObject([403, { error: 'insufficient_scope' }]);
    expect((await get('/write', await tokens('things:write'))).status).toBe(200);
  });

  it('refuses one whose grant has ended, within a second', async () => {
    const token = (await issuance.tokens(client, { scope: 'things:read', resource: api })).accessToken.reveal();
    expect((await get('/things', token)).status).toBe(200);
    const [grant] = await issuance.issuer.grants(issuance.at.organization.id, issuance.session.user.id);
    await issuance.issuer.endGrant(issuance.by, grant?.id ?? newId('grt'));
    const began = performance.now();
    while ((await get('/things', token)).status === 200) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
