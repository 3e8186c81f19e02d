import { Fault, type Secret } from '#kernel';
import { parent } from '#oauth';
import { isUniqueViolation, sha256 } from '#store';
import { audiences, type LivingToken, livingToken } from '../access-tokens.ts';
import type { Client, Grant, Resource } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { standingGrant } from '../grants.sql.ts';
import { endGrant, stands } from '../grants.ts';
import { lives } from '../lives.ts';
import { type RefreshTokenRow, refreshTokenBy } from '../refresh-tokens.sql.ts';
import { refreshTokenOf } from '../refresh-tokens.ts';
import type { Authenticated } from '../stages.ts';
import { tokenTypeOf } from '../tokens.ts';

const inactive = Object.freeze({ active: false });

/** What a token stands for now, to whom it concerns; to others, and of anything bad, nothing (RFC 7662 §2.2). */
export async function answerTokenState(deps: IssuerDeps, asked: Authenticated): Promise<Readonly<Record<string, unknown>>> {
  if (asked.method === 'none') throw new Fault('client_unauthenticated');
  const text = tokenOf(asked);
  const access = await livingToken(deps, asked.at, text);
  if (access !== undefined) {
    if (access.client.id === asked.client.id) return stateOf(access);
    const shown = shownTo(asked.client, access, await deps.resources.registered(asked.at.organization.id));
    return shown === undefined ? inactive : stateOf(shown);
  }
  const refresh = refreshTokenOf(text);
  const found = refresh === undefined ? undefined : await ownRefreshToken(deps, asked, refresh);
  return found === undefined || !(await isLive(deps, asked, found)) ? inactive : refreshState(asked, found);
}

/** Ends a token of this client; of any other token it says nothing (RFC 7009 §2.1, §2.2). */
export async function answerRevocation(deps: IssuerDeps, asked: Authenticated): Promise<void> {
  const text = tokenOf(asked);
  const refresh = refreshTokenOf(text);
  const found = refresh === undefined ? undefined : await ownRefreshToken(deps, asked, refresh);
  if (found !== undefined) {
    await endGrant(deps, asked.at.organization.id, found.grant.id, 'revoked_by_client');
    return;
  }
  const access = await livingToken(deps, asked.at, text);
  if (access?.client.id === asked.client.id) await endToken(deps, asked, access);
}

/** Which kind of token it is shows by itself; the hint is only a hint. */
function tokenOf({ parameters }: Authenticated): string {
  const token = parameters.one('token');
  if (token === undefined) throw new Fault('invalid_request', { detail: 'The parameter token is missing' });
  return token;
}

/**
 * The token as the server of a resource sees it: for the resources that it is the server of, and with their scopes where they are
 * registered (RFC 7662 §2.2, RFC 9701 §5); undefined where none is its own.
 */
function shownTo({ protects }: Client, token: LivingToken, registered: ReadonlyMap<string, Resource>): LivingToken | undefined {
  const own = audiences(token.claims).filter((resource) => protects.includes(resource));
  const [only, ...more] = own;
  if (only === undefined) return undefined;
  const known = own.map((resource) => registered.get(resource)?.scopes.map(({ name }) => name));
  const { scope = '', ...claims } = token.claims;
  const left = known.every((names) => names !== undefined)
    ? scope
        .split(' ')
        .filter((name) => known.flat().includes(name))
        .join(' ')
    : scope;
  return { ...token, claims: { ...claims, aud: more.length === 0 ? only : own, ...(left === '' ? {} : { scope: left }) } };
}

function stateOf({ claims, user }: LivingToken): Readonly<Record<string, unknown>> {
  const { epochs: _epochs, grant_id: _grant, parents: _parents, parent_clients: _clients, ...shown } = claims;
  // Whose address it is concerns only whom the person allowed to see it.
  const named = user !== undefined && (claims.scope ?? '').split(' ').includes('email');
  return { active: true, token_type: tokenTypeOf(claims.cnf), ...shown, ...(named ? { username: user.email } : {}) };
}

interface OwnRefreshToken {
  readonly row: RefreshTokenRow;
  readonly grant: Grant;
}

async function ownRefreshToken(
  deps: IssuerDeps,
  { at, client }: Authenticated,
  token: Secret<string>,
): Promise<OwnRefreshToken | undefined> {
  return deps.records.in(at.organization.id).read(async (tx) => {
    const row = await refreshTokenBy(tx, 'token_hash', sha256(token.reveal()));
    const grant = row === undefined ? undefined : await standingGrant(tx, row.grant_id);
    return row === undefined || grant === undefined || grant.client !== client.id ? undefined : { row, grant };
  });
}

async function isLive(deps: IssuerDeps, { at }: Authenticated, { row, grant }: OwnRefreshToken): Promise<boolean> {
  if (row.spent_at !== null || row.expires_at <= deps.clock.now()) return false;
  const user = await deps.identity.user(at.organization.id, grant.user);
  return user !== undefined && stands(at, user, grant.epochs);
}

function refreshState({ at, client }: Authenticated, { row, grant }: OwnRefreshToken): Readonly<Record<string, unknown>> {
  return {
    active: true,
    iss: at.issuer,
    sub: grant.user,
    client_id: client.id,
    scope: grant.scopes.join(' '),
    iat: Math.floor(row.created_at / 1000),
    exp: Math.floor(row.expires_at / 1000),
  };
}

async function endToken(deps: IssuerDeps, { at }: Authenticated, { claims }: LivingToken): Promise<void> {
  const ending = { organization: at.organization.id, subject: parent.token(claims.jti), expiresAt: claims.exp * 1000 + lives.skew };
  await deps.records
    .in(at.organization.id)
    .write((tx) => deps.endings.insert(tx, ending))
    .catch((error: unknown) => {
      if (!isUniqueViolation(error, 'endings.subject')) throw error;
    });
}
