import { Fault } from '#kernel';
import { readDetails } from '../authorization-details.ts';
import type { AuthorizationDetail, Client } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import type { Detailed, Expecting } from '../stages.ts';

/** Authorization details of types that are registered, and that this client may ask for (RFC 9396 §5, §10). @throws {Fault} `authorization_details_invalid` */
export async function checkDetails(deps: IssuerDeps, asked: Expecting): Promise<Detailed> {
  const registered = await deps.detailsTypes.registered(asked.at.organization.id);
  return { ...asked, details: allowedDetails(asked.client, readDetails(asked.parameters.one('authorization_details'), registered)) };
}

/** @throws {Fault} `authorization_details_invalid` */
export function allowedDetails(
  { authorizationDetailsTypes }: Client,
  details: readonly AuthorizationDetail[],
): readonly AuthorizationDetail[] {
  if (details.every(({ type }) => authorizationDetailsTypes.includes(type))) return details;
  throw new Fault('authorization_details_invalid', {
    detail: 'The client may not ask for authorization details of this type',
    hint: 'register it for the type',
  });
}
