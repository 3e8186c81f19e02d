import { Fault } from '#kernel';
import { countedAs } from '#net';
import { ephemeraKey } from '#store';
import type { PushedAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { holdPushed, newReference, requestUriOf } from '../pushed-requests.ts';
import type { Authenticated, Prompted, Pushing } from '../stages.ts';

/** Pushes of one address in the name of clients that prove nothing: as many as may begin to wait at `/authorize`. */
const mostPushed = { most: 200, window: 15 * 60_000 };

/** An authorization request in a form, under a new reference (RFC 9126 §2.1). @throws {Fault} `invalid_request`, `rate_limited` */
export async function beginPush<S extends Authenticated & { readonly address: string }>(deps: IssuerDeps, asked: S): Promise<S & Pushing> {
  if (asked.parameters.one('request_uri') !== undefined)
    throw new Fault('invalid_request', { detail: 'A request_uri cannot be pushed', hint: 'send the parameters themselves' });
  if (asked.method === 'none') {
    const count = await deps.ephemera.bump(ephemeraKey('rate', 'pushed_request', countedAs(asked.address)), mostPushed.window);
    if (count > mostPushed.most) throw new Fault('rate_limited', { retryAfter: mostPushed.window / 1000 });
  }
  const { handle, hash } = newReference();
  return { ...asked, handle, delivery: { pushed: hash, signed: false } };
}

/** With what a client proves who it is: nothing of an authorization request, and not kept. */
const proofs: ReadonlySet<string> = new Set(['client_secret', 'client_assertion', 'client_assertion_type']);

/** Keeps what was found good until the browser brings its reference. */
export async function endPush(deps: IssuerDeps, { client, parameters, delivery, handle }: Prompted & Pushing): Promise<PushedAnswer> {
  const life = await holdPushed(deps, client, delivery.pushed, { text: parameters.without(proofs), delivery });
  return { requestUri: requestUriOf(handle), life };
}
