import { signToken } from '#oauth';
import type { IssuerDeps } from '../deps.ts';
import type { Authenticated } from '../stages.ts';
import { answerTokenState } from './answer-token-state.ts';

/**
 * The same answer as a JWT that its asker can keep as evidence (RFC 9701 §5): for this asker alone, and of a type of its own. Without
 * `sub` and `exp` at its top it passes for no access token.
 */
export async function signTokenState(deps: IssuerDeps, asked: Authenticated): Promise<string> {
  const { at, client } = asked;
  const state = await answerTokenState(deps, asked);
  const key = await deps.keys.signer(at.organization.id, client.signing);
  const claims = { iss: at.issuer, aud: client.id, iat: Math.floor(deps.clock.now() / 1000), token_introspection: state };
  return signToken(key, 'token-introspection+jwt', claims);
}
