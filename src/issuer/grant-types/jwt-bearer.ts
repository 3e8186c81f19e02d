import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import { Fault, Secret } from '#kernel';
import { ephemeraKey, sha256 } from '#store';
import { assertionAlgorithms } from '../client-authentication.ts';
import type { ClientMetadata, TokenAnswer, TrustedIssuer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { lives } from '../lives.ts';
import { beginGrantFrom } from '../new-grant.ts';
import { ownScopes } from '../scopes.ts';
import type { Allowed, Reach } from '../stages.ts';
import { resourcesWithin } from '../steps/check-resources.ts';
import { scopesWithin } from '../steps/check-scopes.ts';
import { mintAccessToken } from '../tokens.ts';
import { subjectFits } from '../trusted-issuers.ts';
import { renewedTrustedKeys, trustedKeys } from '../trusted-keys.ts';
import type { GrantType } from './index.ts';

/** A JWT of an issuer that the organization trusts, for an access token and nothing else (RFC 7523 §2.1, §3.1). */
export const jwtBearer: GrantType = {
  refreshes: false,
  async redeem(deps, asked) {
    const text = asked.parameters.one('assertion');
    if (text === undefined) throw new Fault('invalid_request', { detail: 'The parameter assertion is missing' });
    const accepted = await accept(deps, asked, text);
    if (accepted === undefined) throw refused();
    const reach = reachOf(asked);
    const mark = await useOnce(deps, asked, accepted, text);
    const { at, client, confirmation } = asked;
    if (accepted.trust.user !== undefined) return forUser(deps, asked, { reach, mark, user: accepted.trust.user });
    const authorized = { at, client, confirmation, subject: { kind: 'client' }, ...reach } as const;
    return { ...(await mintAccessToken(deps, authorized)), scopes: reach.scopes };
  },
};

/** The same words whatever is wrong: who is trusted is nobody else's business. */
function refused(): Fault {
  return new Fault('grant_invalid', {
    detail: 'The assertion is not one that this client may use',
    hint: 'see issuer, audience, expiry, subject and client: gatehouse trust list',
  });
}

interface Accepted {
  readonly trust: TrustedIssuer;
  readonly claims: JWTPayload & { readonly exp: number; readonly sub: string };
}

/** The first trust of this client that the assertion satisfies. Of a subject that none names it gives nothing. */
async function accept(deps: IssuerDeps, { at, client }: Allowed, text: string): Promise<Accepted | undefined> {
  const issuer = issuerOf(text);
  if (issuer === undefined || issuer === at.issuer) return undefined;
  const trusts = (await deps.trustedIssuers.of(at.organization.id, client.id)).filter((trust) => trust.issuer === issuer);
  for (const trust of trusts) {
    const claims = await verified(deps, trust, text, at.issuer);
    if (claims !== undefined && subjectFits(claims.sub, trust.subjects) && claimsFit(claims, trust.claims)) return { trust, claims };
  }
  return undefined;
}

/** Unchecked: it only picks whose keys it is verified by. */
function issuerOf(text: string): string | undefined {
  if (text.length > 32 * 1024) return undefined;
  try {
    return decodeJwt(text).iss;
  } catch {
    return undefined;
  }
}

/** By a key that the issuer has, or has come to have since they were kept. */
async function verified(deps: IssuerDeps, trust: TrustedIssuer, text: string, audience: string): Promise<Accepted['claims'] | undefined> {
  const checked = { text, audience, issuer: trust.issuer, now: deps.clock.now() };
  const claims = await verifiedBy(await trustedKeys(deps, trust), checked);
  if (claims !== undefined) return claims;
  const renewed = await renewedTrustedKeys(deps, trust);
  return renewed === undefined ? undefined : verifiedBy(renewed, checked);
}

interface Checked {
  readonly text: string;
  readonly audience: string;
  readonly issuer: string;
  readonly now: number;
}

/** RFC 7523 §3, as its revision has it: for this issuer alone, with an end that is near, and of no other kind of JWT (RFC 8725 §3.11). */
async function verifiedBy(keys: ClientMetadata['jwks'], { text, audience, issuer, now }: Checked): Promise<Accepted['claims'] | undefined> {
  try {
    const { payload, protectedHeader } = await jwtVerify(text, createLocalJWKSet({ keys: [...keys] } as unknown as JSONWebKeySet), {
      algorithms: assertionAlgorithms,
      issuer,
      audience,
      clockTolerance: lives.skew / 1000,
      currentDate: new Date(now),
      requiredClaims: ['exp', 'sub', 'aud'],
    });
    const { exp, iat, aud, sub } = payload;
    const typed = protectedHeader.typ === undefined || /^(application\/)?(jwt|authorization-grant\+jwt)$/i.test(protectedHeader.typ);
    if (!typed || exp === undefined || typeof sub !== 'string' || [aud].flat().length !== 1) return undefined;
    if (exp * 1000 > now + lives.trustedAssertion + lives.skew || (iat ?? 0) * 1000 > now + lives.skew) return undefined;
    return { ...payload, exp, sub };
  } catch {
    return undefined;
  }
}

function claimsFit(claims: JWTPayload, wanted: TrustedIssuer['claims']): boolean {
  return Object.entries(wanted).every(([name, value]) => Object.hasOwn(claims, name) && [claims[name]].flat().includes(value));
}

/** The scopes of a sign-in mean nothing where nobody signed in. */
function reachOf({ client, parameters }: Allowed): Reach {
  const scopes = client.scopes.filter((scope) => ownScopes[scope] === undefined);
  return { scopes: scopesWithin(parameters, scopes), resources: resourcesWithin(parameters, client.resources) };
}

/** Once, by its `jti`; one without that, by what was signed. @throws {Fault} `grant_invalid`, `proof_unremembered` */
async function useOnce(deps: IssuerDeps, { at, client }: Allowed, { trust, claims }: Accepted, text: string): Promise<string> {
  const now = deps.clock.now();
  const own = claims.jti ?? text.slice(0, text.lastIndexOf('.'));
  const mark = sha256(JSON.stringify([trust.issuer, claims.jti === undefined, own]));
  const key = ephemeraKey('trusted_assertion_replay', at.organization.id, mark);
  const life = Math.max(1_000, claims.exp * 1000 + lives.skew - now + 1_000);
  if (!(await deps.ephemera.claim(key, client.id, Math.ceil(life)))) throw refused();
  // Its mark may have been lost with what remembered it (SECURITY 14).
  const issuedAt = claims.iat === undefined ? claims.exp * 1000 - lives.trustedAssertion : claims.iat * 1000;
  const since = await deps.ephemera.since(key);
  if (since !== 0 && issuedAt < since + lives.skew) throw new Fault('proof_unremembered', { retryAfter: lives.skew / 1000 });
  return mark;
}

interface ForUser {
  readonly reach: Reach;
  readonly mark: string;
  readonly user: NonNullable<TrustedIssuer['user']>;
}

/** In the name of the person that the trust names, as long as they are active. Nobody signed in, so there is no time of that. */
async function forUser(deps: IssuerDeps, asked: Allowed, { reach, mark, user: id }: ForUser): Promise<TokenAnswer> {
  const { at, client } = asked;
  const user = await deps.identity.user(at.organization.id, id);
  if (user?.status !== 'active') throw refused();
  const epochs = { user: user.epoch, organization: at.organization.epoch };
  const granted = { organization: at.organization.id, client: client.id, user: user.id, ...reach, authenticatedAt: 0, epochs };
  return beginGrantFrom(deps, asked, { kind: 'trusted_assertion', value: new Secret(mark) }, { granted, refresh: false });
}
