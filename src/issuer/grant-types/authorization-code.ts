import { Fault, Secret } from '#kernel';
import { pkceHolds } from '#oauth';
import { bearerKey } from '#store';
import { type AuthorizationCode, readCode } from '../codes.ts';
import type { IssuerDeps } from '../deps.ts';
import { beginGrantFrom, refuseReplay } from '../new-grant.ts';
import type { Allowed } from '../stages.ts';
import type { GrantType } from './index.ts';

/** A code for tokens, once (OAuth 2.1 §4.1.3). A second time ends what the first made. */
export const authorizationCode: GrantType = {
  refreshes: true,
  async redeem(deps, asked) {
    const text = asked.parameters.one('code');
    if (text === undefined) throw new Fault('invalid_request', { detail: 'The parameter code is missing' });
    const once = { kind: 'authorization_code', value: new Secret(text) };
    const taken = await deps.ephemera.take(bearerKey('authorization_code', text));
    if (taken === undefined) return refuseReplay(deps, asked.at.organization.id, once);
    const given = readCode(taken);
    judge(deps, asked, given);
    const { pushed, nonce } = given;
    const also = pushed === undefined ? [] : [{ kind: 'pushed_request', value: new Secret(pushed) }];
    return beginGrantFrom(deps, asked, [once, ...also], { granted: given, nonce });
  },
};

/** @throws {Fault} `grant_invalid` unless this client asked for the code, at this redirect URI, with this verifier's challenge, and with the key it names */
function judge({ clock }: IssuerDeps, { at, client, parameters, confirmation }: Allowed, given: AuthorizationCode): void {
  const redirect = parameters.one('redirect_uri');
  const verifier = parameters.one('code_verifier');
  const holds =
    given.organization === at.organization.id &&
    given.client === client.id &&
    clock.now() < given.expiresAt &&
    (redirect === undefined || redirect === given.redirect) &&
    (given.jkt === undefined || given.jkt === confirmation?.jkt) &&
    verifier !== undefined &&
    pkceHolds(verifier, given.challenge);
  if (!holds) throw new Fault('grant_invalid');
}
