import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Addressed } from '../stages.ts';

/** The request came in the way that its client promised to send every one (RFC 9126 §6, RFC 9101 §10.5). */
export function checkDelivery<S extends Addressed>(_: IssuerDeps, asked: S): S {
  const { client, delivery } = asked;
  if (client.requirePushedAuthorizationRequests && delivery.pushed === undefined)
    throw new Fault('invalid_request', { detail: 'This client pushes its authorization requests', hint: 'post it to /par first' });
  if (client.requireSignedRequestObject && !delivery.signed)
    throw new Fault('invalid_request', {
      detail: 'This client signs its authorization requests',
      hint: 'send a request object by request',
    });
  return asked;
}
