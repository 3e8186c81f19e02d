import type { TokenAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { grantTypes } from '../grant-types/index.ts';
import { renewRegistration } from '../registration-upkeep.ts';
import type { Allowed } from '../stages.ts';

/** Each grant type fills in what is its own. */
export async function redeem(deps: IssuerDeps, asked: Allowed): Promise<TokenAnswer> {
  const answer = await grantTypes[asked.grantType].redeem(deps, asked);
  // The tokens are made: the client has them, whether or not this can be written.
  await renewRegistration(deps, asked.client).catch((cause: unknown) => deps.log.warn('the use of a client was not written', { cause }));
  return answer;
}
