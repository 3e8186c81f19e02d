import { Fault, type Secret } from '#kernel';
import { isUniqueViolation, sha256 } from '#store';
import { detailHash, detailsFor, narrowedDetails } from '../authorization-details.ts';
import { sameKey } from '../confirmation.ts';
import type { AuthorizationDetail, Grant, TokenAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { standingGrant } from '../grants.sql.ts';
import { endGrant, livingUser } from '../grants.ts';
import { lives } from '../lives.ts';
import { forgetAnswer, type RefreshTokenRow, refreshTokenBy, spendRefreshToken } from '../refresh-tokens.sql.ts';
import { openAnswer, refreshTokenOf, sealAnswer, showsKey, successorOf } from '../refresh-tokens.ts';
import type { Allowed, Reach } from '../stages.ts';
import { resourcesWithin, standingResources } from '../steps/check-resources.ts';
import { scopesWithin } from '../steps/check-scopes.ts';
import { mintAccessToken, mintIdToken } from '../tokens.ts';
import type { GrantType } from './index.ts';

/**
 * A refresh token for its one successor (OAuth 2.1 §4.3). Who lost the answer has it again for a short while; whoever comes
 * after that ends the family.
 */
export const refreshToken: GrantType = {
  refreshes: false,
  async redeem(deps, asked) {
    const text = asked.parameters.one('refresh_token');
    if (text === undefined) throw new Fault('invalid_request', { detail: 'The parameter refresh_token is missing' });
    const token = refreshTokenOf(text);
    const found = token === undefined ? undefined : await look(deps, asked, token);
    if (token === undefined || found === undefined) throw new Fault('grant_invalid');
    const { row, grant } = found;
    if (row.spent_at !== null) return again(deps, asked, { token, row, grant });
    if (row.expires_at <= deps.clock.now()) throw new Fault('grant_invalid');
    return (await spendFor(deps, asked, { token, row, grant })) ?? (await lostTo(deps, asked, token));
  },
};

interface Presented {
  readonly token: Secret<string>;
  readonly row: RefreshTokenRow;
  readonly grant: Grant;
}

/** The token and its grant, if this client has them and the grant stands. */
async function look(deps: IssuerDeps, asked: Allowed, token: Secret<string>): Promise<Omit<Presented, 'token'> | undefined> {
  const { at, client } = asked;
  const { row, grant } = await deps.records.in(at.organization.id).read(async (tx) => {
    const row = await refreshTokenBy(tx, 'token_hash', sha256(token.reveal()));
    return { row, grant: row === undefined ? undefined : await standingGrant(tx, row.grant_id) };
  });
  if (row === undefined || grant === undefined || grant.client !== client.id || grant.expiresAt <= deps.clock.now()) return undefined;
  if (!showsKey(row, asked.confirmation))
    throw new Fault('grant_invalid', { detail: 'The refresh token is bound to a key that was not shown' });
  return { row, grant };
}

/** Undefined when another request has spent it meanwhile. What was made for the loser leaves nobody's hands. */
async function spendFor(deps: IssuerDeps, asked: Allowed, presented: Presented): Promise<TokenAnswer | undefined> {
  const { token, row, grant } = presented;
  const successor = await successorOf(deps, asked, { grant, predecessor: row });
  const reach = await reachOf(deps, asked, grant);
  const answer = { ...(await tokensFor(deps, asked, grant, reach)), refreshToken: successor.token };
  const sealed = sealAnswer(token, { answer, resources: reach.resources, confirmation: asked.confirmation, successor: successor.token });
  const won = await deps.records
    .in(grant.organization)
    .write(async (tx) => {
      if (!(await spendRefreshToken(tx, row.token_hash, deps.clock.now(), sealed))) return false;
      // It may have ended since it was looked at.
      if ((await standingGrant(tx, grant.id)) === undefined) throw new Fault('grant_invalid');
      if (row.predecessor_hash !== null) await forgetAnswer(tx, row.predecessor_hash);
      await successor.insert(tx);
      return true;
    })
    .catch((error: unknown) => {
      if (isUniqueViolation(error, 'refresh_tokens.predecessor_hash')) return false;
      throw error;
    });
  return won ? answer : undefined;
}

interface DetailedReach extends Reach {
  readonly details: readonly AuthorizationDetail[];
}

/** Scope, resources and authorization details may narrow, for this access token; the grant keeps what it has (RFC 6749 §6, RFC 9396 §6). */
async function reachOf(deps: IssuerDeps, { at, client, parameters }: Allowed, grant: Grant): Promise<DetailedReach> {
  const held = await standingResources(deps, { at, client }, grant);
  const resources = resourcesWithin(parameters, held);
  const types = await deps.detailsTypes.registered(at.organization.id);
  return {
    scopes: scopesWithin(parameters, grant.scopes),
    resources: resources.length === 0 ? held : resources,
    details: narrowedDetails(parameters.one('authorization_details'), grant.facts?.details ?? [], types),
  };
}

async function tokensFor(
  deps: IssuerDeps,
  { at, client, confirmation }: Allowed,
  grant: Grant,
  reach: DetailedReach,
): Promise<TokenAnswer> {
  const user = await livingUser(deps, at, grant);
  const authorized = { at, client, confirmation, subject: { kind: 'user', user, grant }, ...reach } as const;
  const access = await mintAccessToken(deps, authorized);
  const idToken = await mintIdToken(deps, authorized, access.accessToken);
  return { ...access, scopes: reach.scopes, ...(idToken === undefined ? {} : { idToken }) };
}

async function lostTo(deps: IssuerDeps, asked: Allowed, token: Secret<string>): Promise<TokenAnswer> {
  const found = await look(deps, asked, token);
  if (found === undefined || found.row.spent_at === null) throw new Fault('grant_invalid');
  return again(deps, asked, { token, ...found });
}

/**
 * The stored answer, while its successor was not used and 30 seconds have not passed; else somebody else holds a copy. Who asks for
 * another scope or resource, or with another key, gets an access token for that, and the same successor: a token for one resource
 * never goes to another.
 */
async function again(deps: IssuerDeps, asked: Allowed, { token, row, grant }: Presented): Promise<TokenAnswer> {
  const since = deps.clock.now() - (row.spent_at ?? 0);
  if (row.grace_answer !== null && since < lives.grace) {
    const reach = await reachOf(deps, asked, grant);
    const { answer, resources, confirmation, successor } = openAnswer(token, row.grace_answer);
    await livingUser(deps, asked.at, grant);
    if (sameReach(reach, { scopes: answer.scopes, resources, details: answer.details ?? [] }) && sameKey(asked.confirmation, confirmation))
      return answer;
    return { ...(await tokensFor(deps, asked, grant, reach)), refreshToken: successor };
  }
  await endGrant(deps, grant.organization, grant.id, 'refresh_token_replayed');
  throw new Fault('grant_invalid');
}

function sameReach(one: DetailedReach, other: DetailedReach): boolean {
  const text = ({ scopes, resources, details }: DetailedReach) =>
    JSON.stringify([[...scopes].sort(), [...resources].sort(), detailsFor(details, resources).map(detailHash)]);
  return text(one) === text(other);
}
