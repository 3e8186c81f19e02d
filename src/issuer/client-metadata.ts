import { createLocalJWKSet, type JSONWebKeySet } from 'jose';
import { Fault } from '#kernel';
import { certificatesOf } from './certificates.ts';
import type { ClientDraft, ClientMetadata } from './contract.ts';
import { grantTypes as grantTypeRows } from './grant-types/index.ts';
import { logoutRules } from './logout-members.ts';
import { redirectFlaw } from './redirects.ts';
import { isResource } from './resources.ts';
import { isScope } from './scopes.ts';

/** What holds of a client that was registered before there was a choice. */
export const clientDefaults = Object.freeze({
  requirePushedAuthorizationRequests: false,
  requireSignedRequestObject: false,
  authorizationDetailsTypes: [],
  lives: {},
  dpopBound: false,
  certificateBound: false,
}) satisfies Partial<ClientMetadata>;

/** Nothing in it hides, or turns what stands beside it around. */
export const clientNameShape = /^[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]{1,100}$/u;

/** What may be registered, field by field. @throws {Fault} `client_invalid` with a sentence per field */
export function judgeClient(draft: ClientDraft): void {
  const fields = Object.fromEntries(rules.flatMap(([field, flaw]) => withFlaw(field, flaw(draft))));
  if (Object.keys(fields).length > 0) throw new Fault('client_invalid', { fields });
}

function withFlaw(field: string, flaw: string | undefined): readonly (readonly [string, string])[] {
  return flaw === undefined ? [] : [[`/${field}`, flaw]];
}

const rules: readonly (readonly [string, (draft: ClientDraft) => string | undefined])[] = [
  ['name', ({ name }) => (clientNameShape.test(name) ? undefined : 'write 1 to 100 characters')],
  ['redirect_uris', redirectsFlaw],
  ['grant_types', grantTypesFlaw],
  ['scopes', ({ scopes }) => (scopes.length <= 100 && scopes.every(isScope) ? undefined : 'a scope is not well formed')],
  ['resources', ({ resources }) => (resources.length <= 100 && resources.every(isResource) ? undefined : notResource)],
  ['protects', protectsFlaw],
  ...Object.entries(logoutRules),
  [
    'authorization_details_types',
    ({ authorizationDetailsTypes: types }) =>
      types.length <= 100 && types.every((type) => /^[\x21-\x7e]{1,200}$/.test(type)) ? undefined : 'a type is not well formed',
  ],
  ['jwks', keysFlaw],
  ['secret_sha256', secretFlaw],
];

const notResource = 'a resource is an absolute URI without fragment';

function redirectsFlaw({ redirectUris, grantTypes }: ClientDraft): string | undefined {
  if (redirectUris.length > 50) return 'there are more than 50';
  if (grantTypes.includes('authorization_code') && redirectUris.length === 0) return 'authorization_code needs a redirect URI';
  for (const uri of redirectUris) {
    const flaw = redirectFlaw(uri);
    if (flaw !== undefined) return `a redirect URI ${flaw}`;
  }
  return undefined;
}

function grantTypesFlaw({ grantTypes, authentication }: ClientDraft): string | undefined {
  const proven = authentication === 'none' ? grantTypes.find((name) => grantTypeRows[name].proven === true) : undefined;
  if (proven !== undefined) return `${proven} needs a client that can prove who it is`;
  if (grantTypes.includes('refresh_token') && !grantTypes.some((name) => grantTypeRows[name].refreshes))
    return 'refresh_token comes with a grant type of a person';
  return undefined;
}

function protectsFlaw({ protects, authentication }: ClientDraft): string | undefined {
  if (protects.length > 100 || !protects.every(isResource)) return notResource;
  return protects.length > 0 && authentication === 'none' ? 'introspection needs a client that can prove who it is' : undefined;
}

function keysFlaw({ jwks, jwksUri, authentication, requireSignedRequestObject }: ClientDraft): string | undefined {
  const certified = authentication === 'self_signed_tls_client_auth';
  const needed = authentication === 'private_key_jwt' || requireSignedRequestObject || certified;
  if (jwksUri !== undefined) return jwks.length === 0 ? undefined : 'keys are given in one way';
  if (jwks.length === 0) return needed ? 'private_key_jwt, self_signed_tls_client_auth and signed requests need public keys' : undefined;
  if (certified && certificatesOf(jwks).length < jwks.length)
    return 'self_signed_tls_client_auth needs the certificate of each key, in x5c';
  return keySetFlaw(jwks);
}

/** Why these cannot be the public keys of a client, or undefined. */
export function keySetFlaw(jwks: ClientMetadata['jwks']): string | undefined {
  if (jwks.length > 10) return 'there are more than 10 keys';
  if (jwks.some((key) => ['d', 'k', 'p', 'q'].some((member) => key[member] !== undefined))) return 'a key is not public';
  try {
    createLocalJWKSet({ keys: [...jwks] } as unknown as JSONWebKeySet);
    return jwks.every(({ kty }) => ['EC', 'RSA', 'OKP'].includes(String(kty))) ? undefined : 'a key is of no known type';
  } catch {
    return 'a key is not a JWK';
  }
}

function secretFlaw({ authentication, secretHash }: ClientDraft): string | undefined {
  const needed = authentication === 'client_secret_basic' || authentication === 'client_secret_post';
  if (!needed) return secretHash === undefined ? undefined : 'this client has no secret';
  return secretHash === undefined ? 'the client needs a secret' : hashFlaw(secretHash);
}

export function hashFlaw(hash: string): string | undefined {
  return /^[0-9a-f]{64}$/.test(hash) ? undefined : 'write the SHA-256 of a secret of 256 random bits, in hexadecimal';
}
