import { Fault } from '#kernel';
import { parseJws, tokenHolds } from '#oauth';
import type { Client, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { tokenFormats } from './tokens.ts';

/** The claims of an ID token that we signed for this client, expired or not; undefined for anything else. */
export async function ownIdToken(deps: IssuerDeps, at: Issuing, client: Client, hint: string) {
  const jws = parseJws(hint, tokenFormats.idToken.typ);
  const key = jws === undefined ? undefined : await deps.keys.verifier(at.organization.id, jws.header.kid);
  const ours = jws !== undefined && key !== undefined && tokenHolds(jws, key.algorithm, key.key);
  return ours && jws.payload.iss === at.issuer && jws.payload.aud === client.id ? jws.payload : undefined;
}

/** Whom an ID token of ours for this client names, expired or not (OpenID Connect Core §3.1.2.1). @throws {Fault} `invalid_request` */
export async function hintedSubject(deps: IssuerDeps, at: Issuing, client: Client, hint: string): Promise<string> {
  const { sub } = (await ownIdToken(deps, at, client, hint)) ?? {};
  if (typeof sub !== 'string')
    throw new Fault('invalid_request', { detail: 'The id_token_hint is no ID token that this client has from here', hint: 'leave it out' });
  return sub;
}
