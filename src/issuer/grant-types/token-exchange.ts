import { Fault, type GrantId, type UserId } from '#kernel';
import { audiences, type LivingToken, livingToken } from '../access-tokens.ts';
import { keyShown } from '../confirmation.ts';
import type { TokenAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { standingGrant } from '../grants.sql.ts';
import type { Allowed, Authorized, Reach } from '../stages.ts';
import { scopesWithin } from '../steps/check-scopes.ts';
import { mintAccessToken } from '../tokens.ts';
import type { GrantType } from './index.ts';

export const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

/** Tokens above one another at most: each names all that are above it. */
const deepest = 8;

/**
 * One of our access tokens for one that reaches less far (RFC 8693 §2): it lives no longer, and ends with the token it was made
 * from and with all that one hangs on. Nobody is acted for by somebody else here.
 */
export const tokenExchange: GrantType = {
  refreshes: false,
  proven: true,
  async redeem(deps, asked) {
    if (asked.method === 'none') throw new Fault('client_unauthorized');
    refuseDelegation(asked);
    const parent = await subjectToken(deps, asked);
    const reach = narrowed(asked, parent);
    const { at, client, confirmation } = asked;
    const access = await mintAccessToken(deps, {
      at,
      client,
      confirmation,
      subject: await subjectOf(deps, asked, parent),
      ...reach,
      under: above(parent),
    });
    return { ...access, scopes: reach.scopes, issuedTokenType: accessTokenType } satisfies TokenAnswer;
  },
};

/** What would give another kind of token, or name who acts, is not ignored: the answer would be something else than was asked for. */
function refuseDelegation({ parameters }: Allowed): void {
  if (parameters.one('actor_token') !== undefined || parameters.one('actor_token_type') !== undefined)
    throw new Fault('invalid_request', { detail: 'Delegation is not offered yet', hint: 'leave out actor_token and actor_token_type' });
  const wanted = parameters.one('requested_token_type');
  if (wanted !== undefined && wanted !== accessTokenType)
    throw new Fault('invalid_request', { detail: 'The only requested_token_type is that of access tokens', hint: accessTokenType });
}

/**
 * The token, alive now, of this client or for a resource that it is the server of. Of anybody else's it learns nothing.
 * @throws {Fault} `invalid_request` (RFC 8693 §2.2.2)
 */
async function subjectToken(deps: IssuerDeps, { at, client, parameters, confirmation }: Allowed): Promise<LivingToken> {
  const text = parameters.one('subject_token');
  if (text === undefined) throw new Fault('invalid_request', { detail: 'The parameter subject_token is missing' });
  if (parameters.one('subject_token_type') !== accessTokenType)
    throw new Fault('invalid_request', { detail: 'The only subject_token_type is that of access tokens', hint: accessTokenType });
  const token = await livingToken(deps, at, text);
  const own = token?.client.id === client.id;
  if (token === undefined || !(own || audiences(token.claims).some((resource) => client.protects.includes(resource))))
    throw new Fault('invalid_request', { detail: 'The subject token is not good, or no more', hint: 'use an access token of this client' });
  // Who was sent a token has not its key; but nobody makes an unbound one of their own.
  if (own && !keyShown(token.claims.cnf, confirmation))
    throw new Fault('invalid_request', {
      detail: 'The subject token is bound to a key that was not shown',
      hint: 'send a DPoP proof of it',
    });
  if ((token.claims.parents ?? []).length >= deepest)
    throw new Fault('invalid_request', { detail: 'The subject token was exchanged too often', hint: 'exchange the one it came from' });
  return token;
}

/** Never more than the parent reaches, nor, of another client's token, more than this one is registered for. */
function narrowed({ at, client, parameters }: Allowed, parent: LivingToken): Reach {
  const own = parent.client.id === client.id;
  const scopes = (parent.claims.scope ?? '').split(' ').filter((scope) => scope !== '' && (own || client.scopes.includes(scope)));
  const given = audiences(parent.claims);
  const most = own ? given : given.filter((one) => client.resources.includes(one) || client.protects.includes(one));
  const named = [...new Set([...parameters.all('resource'), ...parameters.all('audience')])];
  if (!named.every((one) => most.includes(one)))
    throw new Fault('target_invalid', { hint: 'ask for a part of what the subject token is for' });
  const targets = named.length === 0 ? most : named;
  return { scopes: scopesWithin(parameters, scopes), resources: targets.filter((one) => one !== at.issuer) };
}

async function subjectOf(deps: IssuerDeps, { at }: Allowed, { claims, user }: LivingToken): Promise<Authorized['subject']> {
  if (user === undefined) return { kind: 'client', id: claims.sub };
  const grant = await deps.records.in(at.organization.id).read((tx) => standingGrant(tx, claims.grant_id as GrantId));
  if (grant === undefined || grant.user !== (claims.sub as UserId))
    throw new Fault('invalid_request', { detail: 'The subject token is not good, or no more' });
  return { kind: 'user', user, grant };
}

function above({ claims, client }: LivingToken): Authorized['under'] {
  return {
    expiresAt: claims.exp * 1000,
    tokens: [...(claims.parents ?? []), claims.jti],
    clients: [...new Set([...(claims.parent_clients ?? []), client.id])],
  };
}
