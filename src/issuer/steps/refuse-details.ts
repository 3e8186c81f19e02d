import type { GrantTypeName } from '#api';
import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Allowed, Asking } from '../stages.ts';

const detailed: readonly GrantTypeName[] = ['authorization_code', 'refresh_token', 'client_credentials'];

/** Where a grant type takes no authorization details, to ignore them would give something else than was asked for. */
export function refuseDetails(deps: IssuerDeps, asked: Allowed): Allowed {
  return detailed.includes(asked.grantType) ? asked : takeNoDetails(deps, asked);
}

/** The same where such a grant type begins. */
export function takeNoDetails<T extends Asking>(_: IssuerDeps, asked: T): T {
  if (asked.parameters.one('authorization_details') !== undefined)
    throw new Fault('authorization_details_invalid', { detail: 'This grant type takes no authorization details', hint: 'leave them out' });
  return asked;
}
