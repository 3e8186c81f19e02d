import { createHash, randomUUID } from 'node:crypto';
import type { User } from '#identity';
import { Secret } from '#kernel';
import { signToken } from '#oauth';
import { type AccessTokenClaims, accessTokenFormats, formFor } from './access-token-formats.ts';
import { contextOf } from './authentication-contexts.ts';
import { detailsFor } from './authorization-details.ts';
import { claimScopes } from './claims-parameter.ts';
import type { Confirmation, Grant } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { lives } from './lives.ts';
import type { Authorized } from './stages.ts';

/** The forms of ID tokens (OpenID Connect Core §2) and logout tokens (Back-Channel Logout §2.4). Those of access tokens are in `access-token-formats.ts`. */
export const tokenFormats = Object.freeze({ idToken: { typ: 'JWT' }, logoutToken: { typ: 'logout+jwt', life: lives.logoutToken } });

/** An access token for what was authorized (RFC 9068 §2.2). Without a resource it is for the issuer itself. */
export async function mintAccessToken(deps: IssuerDeps, authorized: Authorized) {
  const { at, client, confirmation, scopes, resources, subject, under } = authorized;
  const { format, algorithm } = await formFor(deps, at, resources);
  const life = await deps.lifetimes.of(client, 'access_token');
  const now = deps.clock.now();
  const details = detailsFor(authorized.details ?? [], resources);
  const expiresAt = Math.min(now + life, under?.expiresAt ?? Infinity, subject.kind === 'user' ? subject.grant.expiresAt : Infinity);
  const claims: AccessTokenClaims = {
    iss: at.issuer,
    sub: subject.kind === 'user' ? subject.user.id : (subject.id ?? client.id),
    aud: audience(resources, at.issuer),
    client_id: client.id,
    iat: Math.floor(now / 1000),
    exp: Math.floor(expiresAt / 1000),
    jti: randomUUID(),
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    ...(details.length === 0 ? {} : { authorization_details: details }),
    ...(subject.kind === 'user' ? { ...authentication(subject.grant), grant_id: subject.grant.id } : {}),
    ...(under === undefined ? {} : { parents: under.tokens, parent_clients: under.clients }),
    ...(confirmation === undefined ? {} : { cnf: confirmation }),
    epochs: subject.kind === 'user' ? [subject.grant.epochs.organization, subject.grant.epochs.user] : [at.organization.epoch],
  };
  return {
    accessToken: new Secret(await accessTokenFormats[format].write(deps, at, claims, algorithm)),
    expiresAt,
    tokenType: tokenTypeOf(confirmation),
    ...(details.length === 0 ? {} : { details }),
  };
}

/** How the token is shown (RFC 9449 §5). */
export function tokenTypeOf(confirmation: Confirmation | undefined): 'Bearer' | 'DPoP' {
  return confirmation?.jkt === undefined ? 'Bearer' : 'DPoP';
}

/** When and how the person had signed in (RFC 9068 §2.2.1, RFC 9470 §6). */
function authentication({ authenticatedAt, facts }: Grant) {
  const methods = facts?.methods;
  const how = methods === undefined ? {} : { acr: contextOf(methods), ...(methods.length === 0 ? {} : { amr: methods }) };
  return { ...(authenticatedAt === 0 ? {} : { auth_time: Math.floor(authenticatedAt / 1000) }), ...how };
}

/** Claims that were asked for in the ID token itself (OpenID Connect Core §5.5). */
function toldOf({ name, email }: User, { facts }: Grant, scopes: readonly string[]): Readonly<Record<string, string>> {
  const told = Object.entries({ name, email });
  return Object.fromEntries(
    told.filter(([claim]) => facts?.idTokenClaims?.includes(claim) === true && scopes.includes(claimScopes[claim] ?? claim)),
  );
}

function audience(resources: readonly string[], issuer: string): string | readonly string[] {
  const [only, ...more] = resources;
  return only === undefined ? issuer : more.length === 0 ? only : resources;
}

/** An ID token, where `openid` was granted (OpenID Connect Core §2, §3.1.3.6). */
export async function mintIdToken(
  deps: IssuerDeps,
  { at, client, subject, scopes }: Authorized,
  accessToken: Secret<string>,
  nonce?: string,
): Promise<Secret<string> | undefined> {
  if (subject.kind !== 'user' || !scopes.includes('openid')) return undefined;
  const { typ } = tokenFormats.idToken;
  const life = await deps.lifetimes.of(client, 'id_token');
  const now = Math.floor(deps.clock.now() / 1000);
  const key = await deps.keys.signer(at.organization.id, client.signing);
  const claims = {
    iss: at.issuer,
    sub: subject.user.id,
    aud: client.id,
    iat: now,
    exp: now + life / 1000,
    ...authentication(subject.grant),
    ...toldOf(subject.user, subject.grant, scopes),
    at_hash: halfHash(accessToken, key.algorithm),
    ...(subject.grant.sid === undefined ? {} : { sid: subject.grant.sid }),
    ...(nonce === undefined ? {} : { nonce }),
  };
  return new Secret(signToken(key, typ, claims));
}

/** The left half of the hash of the token, by the hash of the signature (EdDSA: SHA-512). */
function halfHash(token: Secret<string>, algorithm: string): string {
  const digest = createHash(algorithm === 'EdDSA' ? 'sha512' : 'sha256')
    .update(token.reveal(), 'ascii')
    .digest();
  return digest.subarray(0, digest.length / 2).toString('base64url');
}
