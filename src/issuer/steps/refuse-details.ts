import type { GrantTypeName } from '#api';
import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Allowed } from '../stages.ts';

const detailed: readonly GrantTypeName[] = ['authorization_code', 'refresh_token', 'client_credentials'];

/** Where a grant type takes no authorization details, to ignore them would give something else than was asked for. */
export function refuseDetails(_: IssuerDeps, asked: Allowed): Allowed {
  if (asked.parameters.one('authorization_details') !== undefined && !detailed.includes(asked.grantType))
    throw new Fault('authorization_details_invalid', { detail: 'This grant type takes no authorization details', hint: 'leave them out' });
  return asked;
}
