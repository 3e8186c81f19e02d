import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  type BackchannelAuthentication,
  type DeviceAuthorization,
  endpointPaths,
  type Issuing,
  lives,
  type ProtocolRequest,
  type ResourceRequest,
  type Sender,
  type TokenAnswer,
} from '#issuer';
import { Fault } from '#kernel';
import { type CertificateReader, certificateReader } from './client-certificate.ts';
import type { HttpDeps } from './contract.ts';
import { preflight } from './cross-origin.ts';
import { incoming } from './mount.ts';
import { registrationEndpoints } from './mount-registration.ts';
import { bySlug } from './places.ts';

export type Serve = (at: Issuing, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly serve: Serve;
  /** It takes DPoP proofs, and tells the nonce they must hold. */
  readonly proofs?: true;
  /** It takes access tokens. */
  readonly resource?: true;
  /** Scripts of other sites may call it. */
  readonly crossOrigin?: true;
}

/** What programs ask the issuers: at the base URL for the default organization, below `/o/{slug}` for every other. */
export function mountIssuer(app: FastifyInstance, deps: HttpDeps, base: string): void {
  const below = endpoints(deps).flatMap((endpoint) => ['', bySlug].map((prefix) => ({ ...endpoint, path: prefix + endpoint.path })));
  const found = [...discoveryPaths(base)].map((path) => ({ method: 'GET', path, serve: metadata(deps), crossOrigin: true }) as const);
  const mounted: readonly Endpoint[] = [...below, ...found];
  for (const endpoint of mounted) mount(app, deps, endpoint);
  const open = mounted.filter(({ crossOrigin }) => crossOrigin === true);
  for (const [path, same = []] of Object.entries(Object.groupBy(open, ({ path }) => path)))
    mountPreflight(
      app,
      path,
      same.map(({ method }) => method),
    );
}

function mount(app: FastifyInstance, deps: HttpDeps, { method, path, serve, proofs, resource, crossOrigin }: Endpoint): void {
  app.route({
    method,
    url: path,
    config: { oauth: resource === true ? 'resource' : 'client', ...(crossOrigin === true ? { crossOrigin } : {}) },
    handler: async (request, reply) => {
      const { slug } = request.params as { readonly slug?: string };
      const at = await deps.issuer.at(slug);
      if (proofs === true) tellNonce(reply, deps.issuer.nonce(at));
      const answer = await serve(at, request, reply);
      if (reply.sent) return reply;
      return reply.header('content-type', 'application/json; charset=utf-8').send(answer === undefined ? '' : JSON.stringify(answer));
    },
  });
}

function mountPreflight(app: FastifyInstance, url: string, methods: readonly string[]): void {
  app.route({
    method: 'OPTIONS',
    url,
    config: { oauth: 'client', crossOrigin: true },
    handler: async (_, reply) => reply.code(204).headers(preflight(methods)).send(),
  });
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

function endpoints({ issuer, clock, trustedProxies = [], certificateHeader }: HttpDeps): readonly Endpoint[] {
  const certificate = certificateReader(trustedProxies, certificateHeader);
  const asked = (request: FastifyRequest) => protocolRequest(request, certificate);
  const userinfo: Omit<Endpoint, 'method'> = {
    path: endpointPaths.userinfo,
    serve: (at, request) => issuer.userinfo(at, resourceRequest(request, certificate)),
    proofs: true,
    resource: true,
    crossOrigin: true,
  };
  const push: Serve = async (at, request, reply) => {
    const { requestUri, life } = await issuer.push(at, asked(request), incoming(request).address);
    reply.code(201);
    return { request_uri: requestUri, expires_in: life / 1000 };
  };
  return [
    {
      method: 'GET',
      path: endpointPaths.keySet,
      serve: async (at, _, reply) => cached(reply, await issuer.keySet(at)),
      crossOrigin: true,
    },
    { method: 'GET', path: endpointPaths.endings, serve: (at, request) => issuer.endedSince(at, endingsAsked(request)) },
    {
      method: 'POST',
      path: endpointPaths.token,
      serve: async (at, request) => tokenBody(await issuer.token(at, asked(request)), clock.now()),
      proofs: true,
      crossOrigin: true,
    },
    {
      method: 'POST',
      path: endpointPaths.deviceAuthorization,
      serve: async (at, request) => deviceBody(await issuer.devices.authorize(at, asked(request), incoming(request).address)),
    },
    { method: 'POST', path: endpointPaths.push, serve: push, proofs: true, crossOrigin: true },
    {
      method: 'POST',
      path: endpointPaths.backchannel,
      serve: async (at, request) => backchannelBody(await issuer.backchannel.authenticate(at, asked(request), incoming(request).address)),
    },
    {
      method: 'POST',
      path: endpointPaths.introspect,
      async serve(at, request, reply) {
        if (!wantsSigned(request.headers.accept)) return issuer.introspect(at, asked(request));
        const answer = await issuer.introspectSigned(at, asked(request));
        return reply.header('content-type', signedState).send(answer);
      },
    },
    {
      method: 'POST',
      path: endpointPaths.revoke,
      serve: (at, request) => issuer.revoke(at, asked(request)),
      crossOrigin: true,
    },
    ...registrationEndpoints(issuer),
    { method: 'GET', ...userinfo },
    { method: 'POST', ...userinfo },
  ];
}

const signedState = 'application/token-introspection+jwt';

/** Whether a JWT is asked for, and no less than JSON is (RFC 9701 §4). */
function wantsSigned(accept = ''): boolean {
  const weights = new Map(accept.toLowerCase().split(',').map(weightOf));
  const signed = weights.get(signedState) ?? 0;
  return signed > 0 && signed >= (weights.get('application/json') ?? 0);
}

function weightOf(range: string): readonly [type: string, weight: number] {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
  return [type, Number(parameters.find((part) => part.startsWith('q='))?.slice(2) ?? 1)];
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
function protocolRequest(request: FastifyRequest, certificate: CertificateReader): ProtocolRequest {
  const { headers, body } = incoming(request);
  if (!/^application\/x-www-form-urlencoded(;\s*charset="?utf-8"?)?$/i.test(headers['content-type'] ?? ''))
    throw new Fault('invalid_request', { detail: 'The body is not application/x-www-form-urlencoded' });
  return { parameters: new TextDecoder().decode(body), authorization: headers.authorization, sender: senderOf(request, certificate) };
}

function resourceRequest(request: FastifyRequest, certificate: CertificateReader): ResourceRequest {
  return { authorization: request.headers.authorization, sender: senderOf(request, certificate) };
}

/** Headers as they came: joined, several would look like one. */
function senderOf({ method, raw }: FastifyRequest, certificate: CertificateReader): Sender {
  return { method, proofs: raw.headersDistinct.dpop ?? [], certificate: certificate(raw) };
}

/** On every answer, so that a client always has one that is good (RFC 9449 §8.2). */
function tellNonce(reply: FastifyReply, nonce: string | undefined): void {
  if (nonce !== undefined) reply.header('dpop-nonce', nonce);
}

/** CIBA §7.3. */
function backchannelBody({ authReqId, expiresIn, interval }: BackchannelAuthentication) {
  return { auth_req_id: authReqId.reveal(), expires_in: expiresIn, interval };
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

function tokenBody(
  { accessToken, tokenType, expiresAt, scopes, details, idToken, refreshToken, issuedTokenType }: TokenAnswer,
  now: number,
) {
  return {
    access_token: accessToken.reveal(),
    token_type: tokenType,
    expires_in: Math.max(0, Math.floor((expiresAt - now) / 1000)),
    scope: scopes.join(' '),
    ...(details === undefined ? {} : { authorization_details: details }),
    ...(issuedTokenType === undefined ? {} : { issued_token_type: issuedTokenType }),
    ...(refreshToken === undefined ? {} : { refresh_token: refreshToken.reveal() }),
    ...(idToken === undefined ? {} : { id_token: idToken.reveal() }),
  };
}
