import { Fault, newId, Secret } from '#kernel';
import { pkceHolds } from '#oauth';
import { bearerKey, isUniqueViolation, madeFrom, spend } from '#store';
import { type AuthorizationCode, readCode } from '../codes.ts';
import type { Client, Grant, TokenAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { endGrant, insertedGrant, livingUser } from '../grants.ts';
import { lives } from '../lives.ts';
import { firstRefreshToken } from '../refresh-tokens.ts';
import type { Allowed } from '../stages.ts';
import { resourcesWithin } from '../steps/check-resources.ts';
import { mintAccessToken, mintIdToken } from '../tokens.ts';
import type { GrantType } from './index.ts';

const kind = 'authorization_code';

/** A code for tokens, once (OAuth 2.1 §4.1.3). A second time ends what the first made. */
export const authorizationCode: GrantType = {
  interactive: true,
  async redeem(deps, asked) {
    const text = asked.parameters.one('code');
    if (text === undefined) throw new Fault('invalid_request', { detail: 'The parameter code is missing' });
    const code = new Secret(text);
    const taken = await deps.ephemera.take(bearerKey('authorization_code', code.reveal()));
    if (taken === undefined) return refuseReplay(deps, asked, code);
    const given = readCode(taken);
    judge(deps, asked, given);
    const resources = narrowed(asked, given);
    return make(deps, asked, { code, grant: grantOf(deps, asked.client, given), resources, nonce: given.nonce });
  },
};

/** @throws {Fault} `grant_invalid` unless this client asked for the code, at this redirect URI, with this verifier's challenge */
function judge({ clock }: IssuerDeps, { at, client, parameters }: Allowed, given: AuthorizationCode): void {
  const redirect = parameters.one('redirect_uri');
  const verifier = parameters.one('code_verifier');
  const holds =
    given.organization === at.organization.id &&
    given.client === client.id &&
    clock.now() < given.expiresAt &&
    (redirect === undefined || redirect === given.redirect) &&
    verifier !== undefined &&
    pkceHolds(verifier, given.challenge);
  if (!holds) throw new Fault('grant_invalid');
}

/** RFC 8707 §2.2: some of what was granted, or all of it. */
function narrowed({ parameters }: Allowed, given: AuthorizationCode): readonly string[] {
  const asked = resourcesWithin(parameters, given.resources);
  return asked.length === 0 ? given.resources : asked;
}

/** Without refresh tokens nothing hangs on it longer than its one access token. */
function grantOf(deps: IssuerDeps, { grantTypes }: Client, given: AuthorizationCode): Grant {
  const now = deps.clock.now();
  const life = grantTypes.includes('refresh_token') ? lives.grant : lives.accessToken + lives.skew;
  const { organization, client, user, scopes, resources, authenticatedAt, epochs } = given;
  const id = newId('grt', now);
  return { id, organization, client, user, scopes, resources, authenticatedAt, epochs, expiresAt: now + life };
}

interface Making {
  readonly code: Secret<string>;
  readonly grant: Grant;
  readonly resources: readonly string[];
  readonly nonce: string | undefined;
}

async function make(deps: IssuerDeps, asked: Allowed, { code, grant, resources, nonce }: Making): Promise<TokenAnswer> {
  const { at, client } = asked;
  const user = await livingUser(deps, at, grant);
  const refresh = client.grantTypes.includes('refresh_token') ? firstRefreshToken(deps, grant) : undefined;
  const now = deps.clock.now();
  try {
    await deps.records.in(grant.organization).write(async (tx) => {
      await spend(tx, { kind, value: code.reveal(), made: grant.id, now, expiresAt: grant.expiresAt });
      await insertedGrant(deps, tx, grant);
      await refresh?.insert(tx);
    });
  } catch (error) {
    if (isUniqueViolation(error)) return refuseReplay(deps, asked, code);
    throw error;
  }
  const authorized = { at, client, subject: { kind: 'user', user, grant }, scopes: grant.scopes, resources } as const;
  const access = await mintAccessToken(deps, authorized);
  const idToken = await mintIdToken(deps, authorized, access.accessToken, nonce);
  return {
    ...access,
    scopes: grant.scopes,
    ...(idToken === undefined ? {} : { idToken }),
    ...(refresh === undefined ? {} : { refreshToken: refresh.token }),
  };
}

/** OAuth 2.1 §4.1.3: what was made from the code the first time ends. @throws {Fault} `grant_invalid` */
async function refuseReplay(deps: IssuerDeps, { at }: Allowed, code: Secret<string>): Promise<never> {
  const made = await deps.records.in(at.organization.id).read((tx) => madeFrom(tx, kind, code.reveal()));
  if (made !== undefined) await endGrant(deps, at.organization.id, made as Grant['id'], 'code_replayed');
  throw new Fault('grant_invalid');
}
