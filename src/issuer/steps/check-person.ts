import { Fault } from '#kernel';
import { type AskedContext, isMeetable } from '../authentication-contexts.ts';
import { type ClaimsParameter, claimScopes, readClaims, valuesOf } from '../claims-parameter.ts';
import type { IssuerDeps } from '../deps.ts';
import { hintedSubject } from '../id-token-hints.ts';
import type { Expecting, Prompted } from '../stages.ts';

/**
 * Who the person is to be, how they are to have proved it, and what is to be told of them (OpenID Connect Core §3.1.2.1, §5.5).
 * A claim is asked for under the scope that covers it; one that the client may not ask for is left out.
 * @throws {Fault} `invalid_request`, `authentication_unmet`
 */
export async function checkPerson(deps: IssuerDeps, asked: Prompted): Promise<Expecting> {
  const { at, client, parameters } = asked;
  const claims = readClaims(parameters.one('claims'));
  const context = contextAsked(claims, parameters.one('acr_values'));
  if (context?.essential === true && !isMeetable(context)) throw new Fault('authentication_unmet');
  const hint = parameters.one('id_token_hint');
  const hinted = hint === undefined ? [] : [await hintedSubject(deps, at, client, hint)];
  const subjects = new Set([...hinted, ...valuesOf(claims.idToken.sub), ...valuesOf(claims.userinfo.sub)]);
  if (subjects.size > 1) throw new Fault('invalid_request', { detail: 'The request is about several people' });
  const names = (of: ClaimsParameter['idToken']) =>
    Object.keys(of).filter((name) => Object.hasOwn(claimScopes, name) && client.scopes.includes(claimScopes[name] as string));
  const told = [...names(claims.idToken), ...names(claims.userinfo)].map((name) => claimScopes[name] as string);
  const scopes = [...new Set([...asked.scopes, ...told])];
  return { ...asked, scopes, context, subject: [...subjects][0], idTokenClaims: names(claims.idToken) };
}

/** By `claims` it may be essential; by `acr_values` it never is (§5.5.1.1). */
function contextAsked({ idToken }: ClaimsParameter, listed: string | undefined): AskedContext | undefined {
  const values = valuesOf(idToken.acr);
  if (values.length > 0) return { values, essential: idToken.acr?.essential === true };
  const named = (listed ?? '').split(' ').filter((value) => value !== '');
  return named.length === 0 ? undefined : { values: named, essential: false };
}
