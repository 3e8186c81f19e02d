import { timingSafeEqual } from 'node:crypto';
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, jwtVerify } from 'jose';
import type { ClientAuthenticationName } from '#api';
import { Fault, Secret } from '#kernel';
import { ephemeraKey, sha256 } from '#store';
import { isRegistered } from './certificates.ts';
import { clientKeys, renewedClientKeys } from './client-keys.ts';
import { rowOf } from './client-rows.ts';
import type { Client, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { lives } from './lives.ts';
import type { Parsed } from './stages.ts';

/** Who a request says it is from, and what is to prove it. */
export interface Evidence {
  readonly client: string;
  readonly proof: Secret<string>;
  /** DER of the certificate that the connection is with. */
  readonly certificate?: Uint8Array | undefined;
}

/** One way in which a client proves who it is. */
interface ClientAuthentication {
  /** What clients that may use it are registered as: who has a secret may send it in the header or in the body. */
  readonly registeredAs: readonly ClientAuthenticationName[];
  /** Undefined when the request holds nothing of the kind. @throws {Fault} when what it holds is not well formed */
  read(asked: Parsed): Evidence | undefined;
  holds(deps: IssuerDeps, at: Issuing, client: Client, evidence: Evidence): boolean | Promise<boolean>;
}

const withSecret: readonly ClientAuthenticationName[] = ['client_secret_basic', 'client_secret_post'];
const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** Of client assertions. */
export const assertionAlgorithms = ['ES256', 'RS256', 'PS256', 'EdDSA'];

/** The only list of ways. */
export const clientAuthentications: Readonly<Record<ClientAuthenticationName, ClientAuthentication>> = {
  none: {
    registeredAs: ['none'],
    read({ parameters, sender }) {
      const client = parameters.one('client_id');
      return client === undefined ? undefined : { client, proof: new Secret(''), certificate: sender?.certificate };
    },
    holds: () => true,
  },
  client_secret_basic: { registeredAs: withSecret, read: readBasic, holds: secretHolds },
  client_secret_post: {
    registeredAs: withSecret,
    read({ parameters }) {
      const secret = parameters.one('client_secret');
      const client = parameters.one('client_id');
      return secret === undefined || client === undefined ? undefined : { client, proof: new Secret(secret) };
    },
    holds: secretHolds,
  },
  private_key_jwt: { registeredAs: ['private_key_jwt'], read: readAssertion, holds: assertionHolds },
  // Whoever shows a certificate may still prove itself in another way: what it is for, its registration says.
  self_signed_tls_client_auth: { registeredAs: ['self_signed_tls_client_auth'], read: () => undefined, holds: certificateHolds },
};

/** RFC 8705 §2.2. */
async function certificateHolds(deps: IssuerDeps, _: Issuing, client: Client, { certificate }: Evidence): Promise<boolean> {
  return certificate !== undefined && isRegistered(certificate, await clientKeys(deps, client));
}

/** RFC 6749 §2.3.1: both halves are form-encoded before they are joined. */
function readBasic({ authorization }: Parsed): Evidence | undefined {
  if (authorization === undefined) return undefined;
  const encoded = /^basic ([A-Za-z0-9+/]{1,8192}={0,2})$/i.exec(authorization)?.[1];
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) throw new Fault('client_unauthenticated');
  try {
    return { client: formDecoded(text.slice(0, colon)), proof: new Secret(formDecoded(text.slice(colon + 1))) };
  } catch {
    throw new Fault('client_unauthenticated');
  }
}

function formDecoded(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}

function secretHolds({ clock }: IssuerDeps, _: Issuing, client: Client, { proof }: Evidence): boolean {
  const given = Buffer.from(sha256(proof.reveal()));
  const live = client.secrets.filter(({ expiresAt }) => expiresAt === undefined || clock.now() < expiresAt);
  return live.some(({ hash }) => timingSafeEqual(Buffer.from(hash), given));
}

/** RFC 7521 §4.2. Whose it is stands in the assertion itself; `client_id` may be left out. */
function readAssertion({ parameters }: Parsed): Evidence | undefined {
  const assertion = parameters.one('client_assertion');
  const type = parameters.one('client_assertion_type');
  if (assertion === undefined && type === undefined) return undefined;
  if (assertion === undefined || type !== assertionType)
    throw new Fault('invalid_request', { detail: 'A client assertion is a JWT, and comes with its type' });
  return { client: subjectOf(assertion), proof: new Secret(assertion) };
}

/** Unchecked: it only picks by whose keys it is verified. @throws {Fault} `client_unauthenticated` */
function subjectOf(assertion: string): string {
  try {
    const sub: unknown = decodeJwt(assertion).sub;
    if (typeof sub === 'string') return sub;
  } catch {
    // Refused below, like every other assertion that names nobody.
  }
  throw new Fault('client_unauthenticated');
}

/** Signed by a key of the client, for this issuer alone, and used once (RFC 7523 §3, as its revision has it). */
async function assertionHolds(deps: IssuerDeps, at: Issuing, client: Client, { proof }: Evidence): Promise<boolean> {
  const claims = await verified(deps, at, client, proof);
  const now = deps.clock.now();
  if (typeof claims?.exp !== 'number' || typeof claims.jti !== 'string' || claims.jti === '' || [claims.aud].flat().length !== 1)
    return false;
  const issuedAt = typeof claims.iat === 'number' ? claims.iat * 1000 : claims.exp * 1000 - lives.assertion;
  if (claims.exp * 1000 > now + lives.assertion + lives.skew || issuedAt > now + lives.skew) return false;
  const key = ephemeraKey('assertion_replay', rowOf(client.organization, client.id), sha256(claims.jti));
  if (!(await deps.ephemera.claim(key, '1', lives.assertionRemembered))) return false;
  // Its mark may have been lost with what remembered it (SECURITY 14).
  const since = await deps.ephemera.since(key);
  if (since !== 0 && issuedAt < since + lives.skew) throw new Fault('proof_unremembered', { retryAfter: lives.skew / 1000 });
  return true;
}

/** Of its own kind, or of none: what was signed for something else is not taken for an assertion (RFC 7523 as revised, §4). */
const assertionTypes: ReadonlySet<string | undefined> = new Set([
  undefined,
  'JWT',
  'client-authentication+jwt',
  'application/client-authentication+jwt',
]);

/** By a key that the client has, or has come to have since they were kept. */
async function verified(deps: IssuerDeps, at: Issuing, client: Client, assertion: Secret<string>) {
  const claims = await verifiedBy(await clientKeys(deps, client), deps, { at, client, assertion });
  if (claims !== undefined) return claims;
  const renewed = await renewedClientKeys(deps, client);
  return renewed === undefined ? undefined : verifiedBy(renewed, deps, { at, client, assertion });
}

interface Asserting {
  readonly at: Issuing;
  readonly client: Client;
  readonly assertion: Secret<string>;
}

async function verifiedBy(keys: Client['jwks'], { clock }: IssuerDeps, { at, client, assertion }: Asserting) {
  try {
    const { payload, protectedHeader } = await jwtVerify(
      assertion.reveal(),
      createLocalJWKSet({ keys: [...keys] } as unknown as JSONWebKeySet),
      {
        algorithms: assertionAlgorithms,
        issuer: client.id,
        subject: client.id,
        audience: at.issuer,
        clockTolerance: lives.skew / 1000,
        currentDate: new Date(clock.now()),
        requiredClaims: ['exp', 'jti', 'aud'],
      },
    );
    return assertionTypes.has(protectedHeader.typ) ? payload : undefined;
  } catch {
    return undefined;
  }
}
