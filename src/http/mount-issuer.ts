import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type DeviceAuthorization, endpointPaths, type Issuing, lives, type ProtocolRequest, type TokenAnswer } from '#issuer';
import { Fault } from '#kernel';
import type { HttpDeps } from './contract.ts';
import { incoming } from './mount.ts';
import { bySlug } from './places.ts';

type Serve = (at: Issuing, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

interface Endpoint {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly serve: Serve;
}

/** What programs ask the issuers: at the base URL for the default organization, below `/o/{slug}` for every other. */
export function mountIssuer(app: FastifyInstance, deps: HttpDeps, base: string): void {
  const mount = (path: string, { method, serve }: Omit<Endpoint, 'path'>) =>
    app.route({
      method,
      url: path,
      config: { oauth: true },
      handler: async (request, reply) => {
        const { slug } = request.params as { readonly slug?: string };
        const answer = await serve(await deps.issuer.at(slug), request, reply);
        return reply.header('content-type', 'application/json; charset=utf-8').send(answer === undefined ? '' : JSON.stringify(answer));
      },
    });
  for (const { path, ...endpoint } of endpoints(deps)) for (const prefix of ['', bySlug]) mount(prefix + path, endpoint);
  for (const path of discoveryPaths(base)) mount(path, { method: 'GET', serve: metadata(deps) });
}

/** RFC 8414 §3.1 and OpenID Connect with the well-known segment inserted, and OpenID Connect Discovery §4 with it appended. */
function discoveryPaths(base: string): ReadonlySet<string> {
  const inserted = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'];
  const issuerPaths = ['', bySlug, base, base + bySlug];
  return new Set([...inserted.flatMap((name) => issuerPaths.map((path) => name + path)), `${bySlug}/.well-known/openid-configuration`]);
}

function metadata({ issuer }: HttpDeps): Serve {
  return async (at, _, reply) => cached(reply, await issuer.metadata(at));
}

function endpoints({ issuer, clock }: HttpDeps): readonly Endpoint[] {
  const userinfo: Serve = (at, request) => issuer.userinfo(at, bearerOf(request.headers.authorization));
  const push: Serve = async (at, request, reply) => {
    const { requestUri, life } = await issuer.push(at, protocolRequest(request), incoming(request).address);
    reply.code(201);
    return { request_uri: requestUri, expires_in: life / 1000 };
  };
  return [
    {
      method: 'GET',
      path: endpointPaths.keySet,
      serve: async (at, _, reply) => cached(reply, await issuer.keySet(at)),
    },
    { method: 'GET', path: endpointPaths.endings, serve: (at, request) => issuer.endedSince(at, endingsAsked(request)) },
    {
      method: 'POST',
      path: endpointPaths.token,
      serve: async (at, request) => tokenBody(await issuer.token(at, protocolRequest(request)), clock.now()),
    },
    {
      method: 'POST',
      path: endpointPaths.deviceAuthorization,
      serve: async (at, request) => deviceBody(await issuer.devices.authorize(at, protocolRequest(request), incoming(request).address)),
    },
    { method: 'POST', path: endpointPaths.push, serve: push },
    { method: 'POST', path: endpointPaths.introspect, serve: (at, request) => issuer.introspect(at, protocolRequest(request)) },
    { method: 'POST', path: endpointPaths.revoke, serve: (at, request) => issuer.revoke(at, protocolRequest(request)) },
    { method: 'GET', path: endpointPaths.userinfo, serve: userinfo },
    { method: 'POST', path: endpointPaths.userinfo, serve: userinfo },
  ];
}

/** An answer that others may keep; an error never is. */
function cached<T>(reply: FastifyReply, answer: T): T {
  reply.header('cache-control', `public, max-age=${lives.keySetCache / 1000}`);
  return answer;
}

/** Where a verifier stands, and how long it waits for news. @throws {Fault} `invalid_request` */
function endingsAsked(request: FastifyRequest): { readonly after: string | undefined; readonly wait: number } {
  const query = new URL(request.raw.url ?? '/', 'http://request').searchParams;
  const wait = query.get('wait') ?? '0';
  if (!/^\d{1,5}$/.test(wait)) throw new Fault('invalid_request', { detail: 'The parameter wait is not a number of milliseconds' });
  return { after: query.get('after') ?? undefined, wait: Number(wait) };
}

/** Parameters come in the body alone: what a query holds ends up in logs. @throws {Fault} `invalid_request` */
function protocolRequest(request: FastifyRequest): ProtocolRequest {
  const { headers, body } = incoming(request);
  if (!/^application\/x-www-form-urlencoded(;\s*charset="?utf-8"?)?$/i.test(headers['content-type'] ?? ''))
    throw new Fault('invalid_request', { detail: 'The body is not application/x-www-form-urlencoded' });
  return { parameters: new TextDecoder().decode(body), authorization: headers.authorization };
}

/** RFC 6750 §2.1, and no other way. @throws {Fault} `access_token_invalid` */
function bearerOf(authorization: string | undefined): string {
  const token = /^bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization ?? '')?.[1];
  if (token === undefined) throw new Fault('access_token_invalid');
  return token;
}

/** RFC 8628 §3.2. */
function deviceBody({ deviceCode, userCode, verificationUri, expiresIn, interval }: DeviceAuthorization) {
  return {
    device_code: deviceCode.reveal(),
    user_code: userCode,
    verification_uri: verificationUri,
    verification_uri_complete: `${verificationUri}?user_code=${userCode}`,
    expires_in: expiresIn,
    interval,
  };
}

function tokenBody({ accessToken, expiresAt, scopes, idToken, refreshToken, issuedTokenType }: TokenAnswer, now: number) {
  return {
    access_token: accessToken.reveal(),
    token_type: 'Bearer',
    expires_in: Math.max(0, Math.floor((expiresAt - now) / 1000)),
    scope: scopes.join(' '),
    ...(issuedTokenType === undefined ? {} : { issued_token_type: issuedTokenType }),
    ...(refreshToken === undefined ? {} : { refresh_token: refreshToken.reveal() }),
    ...(idToken === undefined ? {} : { id_token: idToken.reveal() }),
  };
}
