import { createHash, type KeyObject, randomBytes } from 'node:crypto';
import { type VerificationKey, verificationKeyOf } from './jwk.ts';
import { jwsHolds, type ParsedJws, parseJws, signJws } from './jws.ts';

/** The scheme of `Authorization: PoP <JWT>`. */
export const agentProofScheme = 'PoP';
export const agentProofType = 'gatehouse-pop+jwt';
/** Longest life of a proof, seconds. */
export const agentProofLife = 60;
/** How far the two clocks may differ, seconds, either way. */
export const agentProofSkew = 5;
/**
 * For how long the mark of a proof must live from its first use on, milliseconds. No clock that accepts the proof is further
 * from its end than its life and both skews, and a request that was judged may take its time before it is marked.
 */
export const agentProofRemembered = (agentProofLife + 2 * agentProofSkew + 30) * 1000;

/** The request a proof is for. `url` is absolute, at the organization's public origin; `body` its exact bytes (empty: none). */
export interface ProvenRequest {
  readonly audience: string;
  readonly method: string;
  readonly url: string;
  readonly body: Uint8Array;
  /** Wall clock, milliseconds. */
  readonly now: number;
}

/** A proof that was read; nothing in it is believed until `judgeAgentProof` says so. */
export interface ReadAgentProof {
  /** The `did:key` it claims to be from. */
  readonly did: string;
  readonly jws: ParsedJws;
}

export type ProofJudgement =
  | { readonly kind: 'good'; readonly jti: string; readonly issuedAt: number }
  | { readonly kind: 'bad'; readonly reason: ProofFlaw };

export type ProofFlaw = 'signature' | 'claims' | 'issuer' | 'audience' | 'time' | 'method' | 'target' | 'body';

/**
 * The value of the Authorization header that proves an agent's key over one request.
 *
 * @throws {TypeError} when the key is neither Ed25519 nor P-256, or `url` is not an http(s) URL with a plain path
 */
export function createAgentProof(input: ProvenRequest & { readonly privateKey: KeyObject; readonly did: string }): string {
  const algorithm = verificationKeyOf(input.privateKey)?.algorithm;
  const htu = provenTarget(input.url);
  if (algorithm === undefined || htu === undefined)
    throw new TypeError('an agent proof needs an Ed25519 or P-256 key and a plain http(s) URL');
  const iat = Math.floor(input.now / 1000);
  const jwt = signJws({ algorithm, privateKey: input.privateKey }, agentProofType, {
    iss: input.did,
    aud: input.audience,
    iat,
    exp: iat + agentProofLife,
    jti: randomBytes(16).toString('base64url'),
    htm: input.method.toUpperCase(),
    htu,
    bsh: bodyHash(input.body),
  });
  return `${agentProofScheme} ${jwt}`;
}

/** Reads an Authorization header, or undefined when it is not a well-formed agent proof. */
export function readAgentProof(authorization: string): ReadAgentProof | undefined {
  const match = /^pop +([A-Za-z0-9._-]+)$/i.exec(authorization);
  const jws = match === null ? undefined : parseJws(match[1] as string, agentProofType);
  if (jws === undefined || typeof jws.payload.iss !== 'string') return undefined;
  return { did: jws.payload.iss, jws };
}

/** Judges a proof against the agent's key and the request it came with. Pure: whether `jti` was seen is the caller's to ask. */
export function judgeAgentProof(
  proof: ReadAgentProof,
  agent: { readonly did: string; readonly key: VerificationKey },
  request: ProvenRequest,
): ProofJudgement {
  if (!jwsHolds(proof.jws, agent.key)) return flaw('signature');
  const claims = claimsOf(proof.jws.payload);
  if (claims === undefined) return flaw('claims');
  if (claims.iss !== agent.did) return flaw('issuer');
  if (claims.aud !== request.audience) return flaw('audience');
  if (!timely(claims, request.now / 1000)) return flaw('time');
  if (claims.htm !== request.method.toUpperCase()) return flaw('method');
  if (claims.htu !== provenTarget(request.url)) return flaw('target');
  if (claims.bsh !== bodyHash(request.body)) return flaw('body');
  return { kind: 'good', jti: claims.jti, issuedAt: claims.iat * 1000 };
}

interface Claims {
  readonly iss: string;
  readonly aud: string;
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
  readonly htm: string;
  readonly htu: string;
  readonly bsh: string;
}

const jtiShape = /^[A-Za-z0-9_-]{16,128}$/;

function claimsOf(payload: Readonly<Record<string, unknown>>): Claims | undefined {
  const { iss, aud, iat, exp, jti, htm, htu, bsh } = payload;
  const texts = [iss, aud, jti, htm, htu, bsh].every((value) => typeof value === 'string');
  if (!texts || !Number.isSafeInteger(iat) || !Number.isSafeInteger(exp) || !jtiShape.test(jti as string)) return undefined;
  return payload as unknown as Claims;
}

function timely(claims: Claims, now: number): boolean {
  const life = claims.exp - claims.iat;
  return life > 0 && life <= agentProofLife && claims.iat <= now + agentProofSkew && claims.exp > now - agentProofSkew;
}

/**
 * Origin, path and query, as `htu` names them. Undefined for anything that could be read in two ways: another scheme,
 * a user name, a backslash, dot segments (also encoded), since two targets would then share one proof.
 */
export function provenTarget(url: string): string | undefined {
  if (!URL.canParse(url) || /[\\\s]/.test(url)) return undefined;
  const parsed = new URL(url);
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') return undefined;
  if (parsed.username !== '' || parsed.password !== '' || dotSegment.test(pathOf(url))) return undefined;
  return parsed.origin + parsed.pathname + parsed.search;
}

const dotSegment = /(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i;

/** The path as written, before a parser resolves anything in it. */
function pathOf(url: string): string {
  return url.replace(/^[^/]*\/\/[^/?#]*/, '').replace(/[?#].*$/s, '');
}

function bodyHash(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url');
}

function flaw(reason: ProofFlaw): ProofJudgement {
  return { kind: 'bad', reason };
}
