import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import { openApi, type Route, type RouteName, routes } from '#api';
import type { AgentStatus } from '#identity';
import { Fault, type RequestId } from '#kernel';
import { emptyBody } from './body.ts';
import { callerOf } from './callers.ts';
import type { HttpDeps } from './contract.ts';
import { type Incoming, incomingOf } from './incoming.ts';
import { bySlug, elsewhere, type Place, type Places } from './places.ts';
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

/** Every route of the management contract, and below `/o/{slug}` those that an organization has there. */
export function mountApi(app: FastifyInstance, places: Places): void {
  for (const [name, { row }] of places.home.api) mountRoute(app, row, row.path, async () => ({ place: places.home, name }));
  for (const name of elsewhere) {
    const row: Route = routes[name];
    mountRoute(app, row, `${bySlug}${row.path}`, async (slug) => ({ place: await places.of(slug), name }));
  }
  app.get('/v1/openapi.json', async (request, reply) => {
    const { callers, kit } = places.home;
    await callerOf(callers, incoming(request), { callers: ['browser', 'command_line'], standing: [] });
    return json(reply, 200, openApi({ version: kit.rooms.version, url: kit.rooms.publicUrl }));
  });
}

type Find = (slug: string | undefined) => Promise<{ readonly place: Place; readonly name: RouteName }>;

function mountRoute(app: FastifyInstance, row: Route, url: string, find: Find): void {
  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const given = incoming(request);
    const { place, name } = await find((request.params as { readonly slug?: string }).slug);
    const { rooms } = place.kit;
    // Before set-up there is no owner whose session the local socket could be.
    const takes = name === 'setup_link' && given.local ? (['anyone'] as const) : row.callers;
    const caller = await callerOf(place.callers, given, { callers: takes, standing: standingFor(name) });
    const served = place.api.get(name);
    if (served === undefined) throw new Fault('not_found');
    const answer = await served.serve(given, caller, request.params, request.query);
    rooms.log.debug('answered', { request: given.id, route: name, status: answer.status, caller: caller.kind });
    return json(reply, answer.status, answer.body);
  };
  app.route({ method: row.method, url, handler });
}

function json(reply: FastifyReply, status: number, body: unknown): FastifyReply {
  return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
}

/** Health, and the texts that anyone may read. Nothing here tells more than a version and reason codes. */
export function mountPlain(app: FastifyInstance, rooms: HttpDeps): void {
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
