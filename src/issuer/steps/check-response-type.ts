import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Addressed } from '../stages.ts';

/** A code, and nothing else (OAuth 2.1 §4.1.1). */
export function checkResponseType(_: IssuerDeps, asked: Addressed): Addressed {
  const type = asked.parameters.one('response_type');
  if (type === undefined) throw new Fault('invalid_request', { detail: 'The parameter response_type is missing' });
  if (type !== 'code') throw new Fault('response_type_unsupported');
  if (!asked.client.grantTypes.includes('authorization_code')) throw new Fault('client_unauthorized');
  return asked;
}
