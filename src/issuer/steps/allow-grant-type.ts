import { type GrantTypeName, grantTypeNames } from '#api';
import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Allowed, Authenticated, Bound, Step } from '../stages.ts';

/** The grant type is one of ours, and one this client is registered for (RFC 6749 §5.2). */
export function allowGrantType(_: IssuerDeps, asked: Bound): Allowed {
  const grantType = asked.parameters.one('grant_type');
  if (grantType === undefined) throw new Fault('invalid_request', { detail: 'The parameter grant_type is missing' });
  if (!isGrantType(grantType)) throw new Fault('grant_type_unsupported');
  if (!asked.client.grantTypes.includes(grantType)) throw new Fault('client_unauthorized');
  return { ...asked, grantType };
}

function isGrantType(name: string): name is GrantTypeName {
  return (grantTypeNames as readonly string[]).includes(name);
}

/** At an endpoint that begins one grant type: this client is registered for it. */
export function allowFor(grantType: GrantTypeName): Step<Authenticated, Authenticated> {
  return (_, asked) => {
    if (!asked.client.grantTypes.includes(grantType)) throw new Fault('client_unauthorized');
    return asked;
  };
}
