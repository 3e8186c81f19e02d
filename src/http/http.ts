import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { Fault, newId } from '#kernel';
import type { CallerDeps } from './callers.ts';
import type { Http, HttpDeps, Where } from './contract.ts';
import { crossOrigin } from './cross-origin.ts';
import { everyAnswer, pagePolicy, strictTransport } from './headers.ts';
import { createHosts } from './hosts.ts';
import { calledAs } from './incoming.ts';
import { closeListener, openListener, secureListener } from './listeners.ts';
import { incoming, mountApi, mountPlain, watchMethods } from './mount.ts';
import { mountIssuer } from './mount-issuer.ts';
import { mountPages } from './mount-pages.ts';
import { oauthError, type RefusedAt } from './oauth-error.ts';
import { errorPage } from './pages/error.ts';
import { createPlaces } from './places.ts';
import { faultFrom, problemHeaders, problemOf } from './problem.ts';
import { createRelay } from './relay.ts';
import { createSetupGate, type SetupGate } from './setup-gate.ts';

/** Bytes of one request's body. */
const bodyLimit = 1 << 20;
const longestParameter = 400;

/** The management API under `/v1` and the pages, as one application behind any number of listeners. */
export function createHttp(deps: HttpDeps): Http {
  const hosts = createHosts(deps.publicUrl, deps.hosts);
  const gate = createSetupGate(deps.signin);
  const places = createPlaces(deps, hosts);
  const { callers } = places.home;
  const { base } = places.home.kit;

  const { app, handle } = createApp(deps);
  guard(app, deps, callers, gate);
  renderErrors(app, deps, base);
  const unoffered = watchMethods(app);
  mountPlain(app, deps);
  mountApi(app, places);
  mountIssuer(app, deps, base);
  mountPages(app, places, hosts);
  unoffered.mount();

  const relay = createRelay({ rooms: deps, callers, gate });
  const servers: Server[] = [];
  return Object.freeze({
    async listen(where: Where) {
      await app.ready();
      const server = await openListener({ handle, upgrade: relay.upgrade }, where);
      servers.push(server);
      return addressOfServer(server);
    },
    address: () => servers.map(addressOfServer),
    secure(tls: { readonly cert: string; readonly key: string }) {
      for (const server of servers) secureListener(server, tls);
    },
    async close(deadline: number, hurry?: AbortSignal) {
      const ending = AbortSignal.any([AbortSignal.timeout(deadline), ...(hurry === undefined ? [] : [hurry])]);
      ending.addEventListener('abort', relay.close, { once: true });
      await Promise.all(servers.map((server) => closeListener(server, ending)));
      relay.close();
      await app.close();
    },
  });
}

/** The framework without its own server: our listeners hand requests to it. */
function createApp(deps: HttpDeps): { app: FastifyInstance; handle: RequestListener } {
  let handle: RequestListener = () => undefined;
  const app = fastify({
    logger: false,
    bodyLimit,
    trustProxy: deps.trustedProxies === undefined || deps.trustedProxies.length === 0 ? false : [...deps.trustedProxies],
    requestIdHeader: false,
    genReqId: () => newId('req', deps.clock.now()),
    routerOptions: { maxParamLength: longestParameter },
    serverFactory: (handler) => {
      handle = handler as RequestListener;
      return createServer();
    },
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    frameworkErrors: (error, request, reply) => {
      void sendProblem(deps, error, request, reply);
    },
  }) as unknown as FastifyInstance;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
  return { app, handle };
}

/** What a route takes and gives is checked by the contract (api); the framework's own compilers are never loaded. */
function noSchemas(): never {
  throw new Fault('internal', { detail: 'a route gives the framework a schema' });
}

/** Before anything else: whose name was called, whose page sent it, and whether this installation is set up. */
function guard(app: FastifyInstance, deps: HttpDeps, { hosts }: CallerDeps, gate: SetupGate): void {
  const secure = deps.publicUrl.startsWith('https:');
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...everyAnswer, 'request-id': request.id, ...(secure ? { 'strict-transport-security': strictTransport } : {}) });
    const given = incoming(request);
    if (!given.url.startsWith('/')) throw new Fault('invalid_request', { detail: 'This is not a proxy' });
    if (!given.local) hosts.check(calledAs(request.raw));
    const open = (request.routeOptions.config ?? {}) as OpenRoute;
    if (open.crossOrigin === true) reply.headers(crossOrigin);
    else if (open.fromElsewhere !== true) hosts.checkOrigin(given.headers);
    await gate.pass(given);
  });
}

/** The few routes that scripts of other sites may call, and those that pages of other sites may send a form to. */
interface OpenRoute {
  readonly crossOrigin?: boolean;
  readonly fromElsewhere?: boolean;
}

function renderErrors(app: FastifyInstance, deps: HttpDeps, base: string): void {
  app.setNotFoundHandler(async () => {
    throw new Fault('not_found');
  });
  app.setErrorHandler(async (error, request, reply) => {
    const { oauth } = (request.routeOptions?.config ?? {}) as { readonly oauth?: RefusedAt };
    if (oauth !== undefined) return sendOAuthError(deps, error, request, reply, oauth);
    if (!wantsPage(request)) return sendProblem(deps, error, request, reply);
    const fault = faultFrom(error, deps.log, request.id);
    return reply
      .code(fault.row.status)
      .headers({ ...problemHeaders(fault), 'content-type': 'text/html; charset=utf-8', 'content-security-policy': pagePolicy })
      .send(errorPage(base, startOf(request, fault), fault, request.id));
  });
}

/** Where the pages of the organization begin that was called. */
function startOf({ raw }: FastifyRequest, { code }: Fault): string {
  return code === 'issuer_unknown' ? '' : (/^\/o\/[a-z0-9-]+(?=\/)/.exec(raw.url ?? '')?.[0] ?? '');
}

/** People get pages; programs get problem documents. */
function wantsPage(request: FastifyRequest): boolean {
  const path = request.raw.url ?? '';
  if (/^(\/o\/[^/?]*)?\/v1\//.test(path) || path.startsWith('/health')) return false;
  return 'page' in (request.routeOptions?.config ?? {}) || (request.headers.accept ?? '').includes('text/html');
}

/** Protocol endpoints speak the standard's own words, whatever went wrong and where. */
function sendOAuthError(deps: HttpDeps, error: unknown, request: FastifyRequest, reply: FastifyReply, at: RefusedAt): FastifyReply {
  const { status, headers, body } = oauthError(faultFrom(error, deps.log, request.id), at, request.headers.authorization);
  return reply.code(status).headers(headers).send(body);
}

function sendProblem(deps: HttpDeps, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, headers, body } = problemOf(faultFrom(error, deps.log, request.id), request.id);
  return reply
    .code(status)
    .headers({ ...everyAnswer, 'request-id': request.id, ...headers })
    .send(body);
}

function addressOfServer(server: Server): { readonly address: string; readonly port: number } {
  const bound = server.address();
  if (bound === null) return { address: '', port: 0 };
  return typeof bound === 'string' ? { address: bound, port: 0 } : { address: bound.address, port: bound.port };
}
