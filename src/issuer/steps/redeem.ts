import type { TokenAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { grantTypes } from '../grant-types/index.ts';
import type { Allowed } from '../stages.ts';

/** Each grant type fills in what is its own. */
export function redeem(deps: IssuerDeps, asked: Allowed): Promise<TokenAnswer> {
  return grantTypes[asked.grantType].redeem(deps, asked);
}
