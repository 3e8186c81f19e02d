import type { User } from '#identity';
import { Fault, parseId } from '#kernel';
import { type AccessTokenClaims, readAccessToken } from './access-token-formats.ts';
import { certificateThumbprint } from './certificates.ts';
import { keyShown } from './confirmation.ts';
import type { Client, Issuing, ResourceRequest } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { checkedProof, spendProof } from './dpop.ts';
import { endpointUrl } from './endpoints.ts';
import { stands } from './grants.ts';

/** An access token that is good now, and whose it is. */
export interface LivingToken {
  readonly claims: AccessTokenClaims;
  readonly client: Client;
  readonly user: User | undefined;
}

/**
 * The token, if we made it, it has not expired, and neither it nor a parent of it has ended: grant, client, person,
 * organization (SECURITY 16). @throws {Fault} `stale_revocations`
 */
export async function livingToken(deps: IssuerDeps, at: Issuing, text: string): Promise<LivingToken | undefined> {
  const claims = await readAccessToken(deps, at, text);
  if (claims === undefined || claims.exp * 1000 <= deps.clock.now()) return undefined;
  const { jti, grant_id: grant, parents = [] } = claims;
  if (await deps.endings.any([jti, ...parents, ...(grant === undefined ? [] : [grant])])) return undefined;
  if (!(await allStand(deps, at, claims.parent_clients ?? []))) return undefined;
  const client = await deps.clients.find(at.organization.id, claims.client_id);
  if (client === undefined || at.organization.epoch !== claims.epochs[0]) return undefined;
  if (grant === undefined) return { claims, client, user: undefined };
  const id = parseId('usr', claims.sub);
  const user = id === undefined ? undefined : await deps.identity.user(at.organization.id, id);
  const [organization = 0, epoch = 0] = claims.epochs;
  return user === undefined || !stands(at, user, { organization, user: epoch }) ? undefined : { claims, client, user };
}

async function allStand({ clients }: IssuerDeps, { organization }: Issuing, above: readonly string[]): Promise<boolean> {
  for (const id of above) if ((await clients.find(organization.id, id)) === undefined) return false;
  return true;
}

export function audiences({ aud }: AccessTokenClaims): readonly string[] {
  return typeof aud === 'string' ? [aud] : aud;
}

/**
 * The token of a request for a resource of ours, in the header and in no other way (RFC 6750 §2.1), shown as it must be: bound to a
 * key with a proof of that key, and never as `Bearer` (RFC 9449 §7.1, §7.2).
 * @throws {Fault} `access_token_invalid`, `dpop_proof_invalid`, `dpop_nonce_needed`
 */
async function shownToken(deps: IssuerDeps, at: Issuing, { authorization, sender }: ResourceRequest, target: string): Promise<LivingToken> {
  const [, scheme, text] = /^(bearer|dpop) ([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization ?? '') ?? [];
  if (scheme === undefined || text === undefined) throw new Fault('access_token_invalid');
  const proven = scheme.toLowerCase() === 'dpop';
  if (proven !== sender.proofs.length > 0)
    throw new Fault('access_token_invalid', { detail: 'A DPoP proof and the DPoP scheme come together or not at all' });
  const proof = await checkedProof(deps, at, sender, { target, accessToken: text });
  const token = await livingToken(deps, at, text);
  if (token === undefined || !audiences(token.claims).includes(at.issuer)) throw new Fault('access_token_invalid');
  const x5t = certificateThumbprint(sender);
  const shown = { ...(proof === undefined ? {} : { jkt: proof.jkt }), ...(x5t === undefined ? {} : { 'x5t#S256': x5t }) };
  if (token.claims.cnf?.jkt !== proof?.jkt || !keyShown(token.claims.cnf, shown))
    throw new Fault('access_token_invalid', { detail: 'The access token is not bound to the key that was shown' });
  if (proof !== undefined) await spendProof(deps, proof);
  return token;
}

/** The token of a person who allowed `openid`, for the issuer itself. @throws {Fault} `access_token_invalid`, `scope_insufficient` */
export async function userinfo(deps: IssuerDeps, at: Issuing, request: ResourceRequest): Promise<Readonly<Record<string, unknown>>> {
  const token = await shownToken(deps, at, request, endpointUrl(at, 'userinfo'));
  const scopes = (token.claims.scope ?? '').split(' ');
  if (token.user === undefined || !scopes.includes('openid')) throw new Fault('scope_insufficient');
  return {
    sub: token.user.id,
    ...(scopes.includes('profile') ? { name: token.user.name } : {}),
    ...(scopes.includes('email') ? { email: token.user.email } : {}),
  };
}
