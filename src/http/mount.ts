import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import { openApi, type RouteName } from '#api';
import type { AgentStatus } from '#identity';
import { Fault, type RequestId } from '#kernel';
import { type ServedRoute, servedRoutes } from './api.ts';
import { emptyBody } from './body.ts';
import { type CallerDeps, callerOf } from './callers.ts';
import { type Incoming, incomingOf } from './incoming.ts';
import type { Kit } from './kit.ts';
import { agentRoutes } from './routes/agents.ts';
import { clientRoutes } from './routes/clients.ts';
import { connectionRoutes } from './routes/connections.ts';
import { peopleRoutes } from './routes/people.ts';
import { permissionRoutes } from './routes/permissions.ts';
import { providerRoutes } from './routes/providers.ts';
import { runRoutes } from './routes/runs.ts';
import { llmsText, robotsText } from './texts.ts';

/** The request as the rules look at it, with the body that was read. */
export function incoming(request: FastifyRequest): Incoming {
  const body = request.body instanceof Uint8Array ? request.body : emptyBody;
  return incomingOf(request.raw, request.id as RequestId, request.ip, body);
}

/** An agent may look at itself and be claimed before its owner has confirmed it; everything else waits for that. */
const unconfirmed: readonly RouteName[] = ['whoami', 'agent_get', 'agent_claim_offer', 'agent_claim_state', 'agent_claim_answer'];

function standingFor(name: RouteName): readonly AgentStatus[] {
  return unconfirmed.includes(name) ? ['registered', 'claimed', 'active'] : ['active'];
}

/** Every route of the management contract. */
export function mountApi(app: FastifyInstance, kit: Kit, callers: CallerDeps): void {
  const handlers = {
    ...agentRoutes(kit),
    ...providerRoutes(kit),
    ...connectionRoutes(kit),
    ...permissionRoutes(kit),
    ...runRoutes(kit),
    ...peopleRoutes(kit),
    ...clientRoutes(kit),
  };
  for (const served of servedRoutes(handlers)) mountRoute(app, kit, callers, served);
  app.get('/v1/openapi.json', async (request, reply) => {
    await callerOf(callers, incoming(request), { callers: ['browser', 'command_line'], standing: [] });
    return json(reply, 200, openApi({ version: kit.rooms.version, url: kit.rooms.publicUrl }));
  });
}

function mountRoute(app: FastifyInstance, { rooms }: Kit, callers: CallerDeps, { name, row, serve }: ServedRoute): void {
  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const given = incoming(request);
    // Before set-up there is no owner whose session the local socket could be.
    const takes = name === 'setup_link' && given.local ? (['anyone'] as const) : row.callers;
    const caller = await callerOf(callers, given, { callers: takes, standing: standingFor(name) });
    const answer = await serve(given, caller, request.params, request.query);
    rooms.log.debug('answered', { request: given.id, route: name, status: answer.status, caller: caller.kind });
    return json(reply, answer.status, answer.body);
  };
  app.route({ method: row.method, url: row.path, handler });
}

function json(reply: FastifyReply, status: number, body: unknown): FastifyReply {
  return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
}

/** Health, and the texts that anyone may read. Nothing here tells more than a version and reason codes. */
export function mountPlain(app: FastifyInstance, { rooms }: Kit): void {
  const { version } = rooms;
  const told = (text: string) => (_: FastifyRequest, reply: FastifyReply) =>
    reply.header('content-type', 'text/plain; charset=utf-8').send(text);
  app.get('/health', async (_, reply) => json(reply, 200, { status: 'ok', version }));
  app.get('/health/live', async (_, reply) => json(reply, 200, { status: 'ok', version }));
  app.get('/health/ready', async (_, reply) => {
    const { ready, database, ephemera, sealedStore: sealed_store, migrations, reason } = await rooms.readiness();
    const facts = { status: ready ? 'ready' : 'not_ready', version, database, ephemera, sealed_store, migrations };
    return json(reply, ready ? 200 : 503, { ...facts, ...(reason === undefined ? {} : { reason }) });
  });
  app.get('/llms.txt', told(llmsText(rooms.publicUrl)));
  app.get('/robots.txt', told(robotsText));
}

const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const satisfies readonly HTTPMethods[];

/** 405 with `Allow` for every other method of a path that exists. */
export function watchMethods(app: FastifyInstance): { mount(): void } {
  const known = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const taken = known.get(url) ?? new Set();
    for (const one of [method].flat()) taken.add(one);
    known.set(url, taken);
  });
  return {
    mount() {
      for (const [url, taken] of [...known]) {
        const offered = [...taken].filter((method) => method !== 'HEAD');
        const allow = offered.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
        const rest = methods.filter((method) => !taken.has(method));
        if (rest.length === 0) continue;
        app.route({
          method: [...rest],
          url,
          handler: async (_, reply) => {
            reply.header('allow', allow);
            throw new Fault('method_not_allowed');
          },
        });
      }
    },
  };
}
