import { createLocalJWKSet, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import { Fault } from '#kernel';
import { clientKeys, renewedClientKeys } from './client-keys.ts';
import type { Client, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { lives } from './lives.ts';

/** Of request objects; never `none`, and never a shared secret (RFC 9101 §10.2). */
export const requestObjectAlgorithms = ['ES256', 'RS256', 'PS256', 'EdDSA'];

/** RFC 9101 §10.8: a JWT of another declared kind is not a request. */
const types: ReadonlySet<string | undefined> = new Set([undefined, 'oauth-authz-req+jwt', 'application/oauth-authz-req+jwt', 'JWT', 'jwt']);

/**
 * The claims of a request object that this client signed, for this issuer, and that has not expired; undefined for any other. By a key
 * that the client has, or has come to have since they were kept.
 */
export async function verifiedObject(deps: IssuerDeps, at: Issuing, client: Client, text: string): Promise<JWTPayload | undefined> {
  const claims = await verifiedBy(await clientKeys(deps, client), deps, { at, client, text });
  if (claims !== undefined) return claims;
  const renewed = await renewedClientKeys(deps, client);
  return renewed === undefined ? undefined : verifiedBy(renewed, deps, { at, client, text });
}

interface Signed {
  readonly at: Issuing;
  readonly client: Client;
  readonly text: string;
}

async function verifiedBy(keys: Client['jwks'], { clock }: IssuerDeps, { at, client, text }: Signed): Promise<JWTPayload | undefined> {
  try {
    const { payload, protectedHeader } = await jwtVerify(text, createLocalJWKSet({ keys: [...keys] } as unknown as JSONWebKeySet), {
      algorithms: requestObjectAlgorithms,
      issuer: client.id,
      audience: at.issuer,
      clockTolerance: lives.skew / 1000,
      currentDate: new Date(clock.now()),
      requiredClaims: ['exp', 'client_id'],
    });
    return types.has(protectedHeader.typ) && holds(payload, client, clock.now()) ? payload : undefined;
  } catch {
    return undefined;
  }
}

/** It is no client assertion either, whose subject is the client (RFC 9101 §10.8). */
function holds({ client_id, sub, exp = 0 }: JWTPayload, client: Client, now: number): boolean {
  return client_id === client.id && sub !== client.id && exp * 1000 <= now + lives.requestObject + lives.skew;
}

/** Claims that are about the object itself, and no parameters. */
const own: ReadonlySet<string> = new Set(['iss', 'aud', 'exp', 'iat', 'nbf', 'jti', 'sub']);
/** A request in a request is refused (RFC 9101 §4). */
const nested: ReadonlySet<string> = new Set(['request', 'request_uri']);
/** Parameters whose value is JSON. */
const structured: ReadonlySet<string> = new Set(['claims', 'authorization_details']);

/** The claims as the parameters that they stand for, in the form of a query. @throws {Fault} `request_object_invalid` */
export function parametersOf(claims: JWTPayload): string {
  const pairs = Object.entries(claims)
    .filter(([name]) => !own.has(name))
    .flatMap(([name, value]) => valuesOf(name, value).map((text): [string, string] => [name, text]));
  return new URLSearchParams(pairs).toString();
}

function valuesOf(name: string, value: unknown): readonly string[] {
  if (typeof value === 'string' && !nested.has(name)) return [value];
  if (typeof value === 'number' || typeof value === 'boolean') return [String(value)];
  if (name === 'resource' && Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  if (structured.has(name) && typeof value === 'object' && value !== null) return [JSON.stringify(value)];
  if (value === null || value === undefined) return [];
  throw new Fault('request_object_invalid', { detail: 'A parameter of the request object is not of its kind' });
}
