import { Fault, type GrantId, newId, type OrganizationId, type Secret } from '#kernel';
import { isUniqueViolation, madeFrom, spend, type Writing } from '#store';
import { formFor } from './access-token-formats.ts';
import { narrowedDetails } from './authorization-details.ts';
import type { Client, Grant, TokenAnswer } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { endGrant, insertedGrant, livingUser } from './grants.ts';
import { lives } from './lives.ts';
import { firstRefreshToken } from './refresh-tokens.ts';
import { joinSession } from './session-grants.ts';
import type { Allowed } from './stages.ts';
import { resourcesWithin, standingResources } from './steps/check-resources.ts';
import { mintAccessToken, mintIdToken } from './tokens.ts';

/** What a person granted, before it is stored. */
export type Granted = Pick<
  Grant,
  'organization' | 'client' | 'user' | 'scopes' | 'resources' | 'authenticatedAt' | 'epochs' | 'facts' | 'sid'
>;

/** A value that becomes a grant once, and is dead from then on (SECURITY 14). */
export interface SingleUse {
  readonly kind: string;
  readonly value: Secret<string>;
}

export interface Beginning {
  readonly granted: Granted;
  readonly nonce?: string | undefined;
  /** False: no refresh token, whatever the client is registered for. */
  readonly refresh?: false;
  /** Marks what it is made from as spent, in the transaction that stores the grant. */
  spend(tx: Writing, grant: Grant): Promise<void>;
}

/** Stores a person's grant and gives its first tokens. What it is made from is spent in the same transaction. */
export async function beginGrant(
  deps: IssuerDeps,
  asked: Allowed,
  { granted, nonce, refresh: refreshes, spend }: Beginning,
): Promise<TokenAnswer> {
  const { at, client, confirmation } = asked;
  const resources = await narrowed(deps, asked, granted);
  await formFor(deps, at, resources);
  const lasting = refreshes !== false && client.grantTypes.includes('refresh_token');
  const details = narrowedDetails(
    asked.parameters.one('authorization_details'),
    granted.facts?.details ?? [],
    await deps.detailsTypes.registered(at.organization.id),
  );
  const grant = await grantOf(deps, client, granted, lasting);
  const user = await livingUser(deps, at, grant);
  const refresh = lasting ? await firstRefreshToken(deps, asked, grant) : undefined;
  await deps.records.in(grant.organization).write(async (tx) => {
    await spend(tx, grant);
    await joinSession(deps, tx, grant);
    await insertedGrant(deps, tx, grant);
    await refresh?.insert(tx);
  });
  const authorized = {
    at,
    client,
    confirmation,
    subject: { kind: 'user', user, grant },
    scopes: grant.scopes,
    resources,
    details,
  } as const;
  const access = await mintAccessToken(deps, authorized);
  const idToken = await mintIdToken(deps, authorized, access.accessToken, nonce);
  return {
    ...access,
    scopes: grant.scopes,
    ...(idToken === undefined ? {} : { idToken }),
    ...(refresh === undefined ? {} : { refreshToken: refresh.token }),
  };
}

/** The same, from values that were taken from Ephemera. A second spend loses, and ends what the first one made. */
export async function beginGrantFrom(
  deps: IssuerDeps,
  asked: Allowed,
  once: SingleUse | readonly SingleUse[],
  made: Omit<Beginning, 'spend'>,
): Promise<TokenAnswer> {
  try {
    return await beginGrant(deps, asked, {
      ...made,
      async spend(tx, grant) {
        const mark = { made: grant.id, now: deps.clock.now(), expiresAt: grant.expiresAt };
        for (const { kind, value } of [once].flat()) await spend(tx, { kind, value: value.reveal(), ...mark });
      },
    });
  } catch (error) {
    if (isUniqueViolation(error)) return refuseReplay(deps, asked.at.organization.id, once);
    throw error;
  }
}

/** OAuth 2.1 §4.1.3: what was made from the values the first time ends. @throws {Fault} `grant_invalid` */
export async function refuseReplay(
  deps: IssuerDeps,
  organization: OrganizationId,
  spent: SingleUse | readonly SingleUse[],
): Promise<never> {
  const made = await deps.records.in(organization).read(async (tx) => {
    const found: (string | undefined)[] = [];
    for (const { kind, value } of [spent].flat()) found.push(await madeFrom(tx, kind, value.reveal()));
    return found;
  });
  for (const grant of made) if (grant !== undefined) await endGrant(deps, organization, grant as GrantId, 'code_replayed');
  throw new Fault('grant_invalid');
}

/** RFC 8707 §2.2: some of what was granted, or all of it. */
async function narrowed(deps: IssuerDeps, asked: Allowed, granted: Granted): Promise<readonly string[]> {
  const held = await standingResources(deps, asked, granted);
  const named = resourcesWithin(asked.parameters, held);
  return named.length === 0 ? held : named;
}

/** Without refresh tokens nothing hangs on it longer than its one access token. */
async function grantOf(deps: IssuerDeps, grantee: Client, granted: Granted, lasting: boolean): Promise<Grant> {
  const now = deps.clock.now();
  const life = lasting ? await deps.lifetimes.of(grantee, 'grant') : (await deps.lifetimes.of(grantee, 'access_token')) + lives.skew;
  const { organization, client, user, scopes, resources, authenticatedAt, facts, epochs, sid } = granted;
  const id = newId('grt', now);
  const session = sid === undefined ? {} : { sid };
  return { id, organization, client, user, scopes, resources, authenticatedAt, facts, epochs, ...session, expiresAt: now + life };
}
