import type { FastifyRequest } from 'fastify';
import { endpointPaths, type RegistrationRequest } from '#issuer';
import { Fault, Secret } from '#kernel';
import { jsonOf } from './body.ts';
import type { HttpDeps } from './contract.ts';
import { incoming } from './mount.ts';
import type { Endpoint } from './mount-issuer.ts';

/** RFC 7591 §3, RFC 7592 §2. */
export function registrationEndpoints({ register, registration }: HttpDeps['issuer']): readonly Endpoint[] {
  const own = `${endpointPaths.register}/:client`;
  const clientOf = (request: FastifyRequest) => (request.params as { readonly client: string }).client;
  return [
    {
      method: 'POST',
      path: endpointPaths.register,
      async serve(at, request, reply) {
        const registered = await register(at, registrationRequest(request));
        reply.code(201);
        return registered;
      },
    },
    { method: 'GET', path: own, serve: (at, request) => registration.read(at, clientOf(request), registrationRequest(request)) },
    { method: 'PUT', path: own, serve: (at, request) => registration.replace(at, clientOf(request), registrationRequest(request)) },
    {
      method: 'DELETE',
      path: own,
      async serve(at, request, reply) {
        await registration.end(at, clientOf(request), registrationRequest(request));
        reply.code(204);
      },
    },
  ];
}

const longestRegistration = 64 * 1024;

/** @throws {Fault} `payload_too_large`, `unsupported_media_type`, `invalid_request`, `registration_token_invalid` */
function registrationRequest(request: FastifyRequest): RegistrationRequest {
  const { headers, body, address } = incoming(request);
  if (body.length > longestRegistration) throw new Fault('payload_too_large');
  const bearer = headers.authorization === undefined ? undefined : bearerIn(headers.authorization);
  if (headers.authorization !== undefined && bearer === undefined) throw new Fault('registration_token_invalid');
  return { body: jsonOf(headers['content-type'], body), bearer: bearer === undefined ? undefined : new Secret(bearer), address };
}

function bearerIn(authorization: string): string | undefined {
  return /^bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization)?.[1];
}
