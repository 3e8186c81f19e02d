import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import { readParameters } from '../parameters.ts';
import { pushedUnder, takePushed } from '../pushed-requests.ts';
import type { Named, Requested } from '../stages.ts';

/**
 * What was pushed under the `request_uri`, once and for its client alone; the other parameters of the browser are ignored
 * (RFC 9126 §4). A reference of another kind is left to be refused where the answer can go back.
 * @throws {Fault} `request_uri_invalid`, for a page
 */
export async function takePushedRequest(deps: IssuerDeps, asked: Named): Promise<Requested> {
  const reference = asked.parameters.one('request_uri');
  if (reference !== undefined && asked.parameters.one('request') !== undefined)
    throw new Fault('invalid_request', { detail: 'The parameters request and request_uri do not go together' });
  const handle = reference === undefined ? undefined : pushedUnder(reference);
  if (handle === undefined) return { ...asked, delivery: { pushed: undefined, signed: false } };
  const taken = await takePushed(deps, asked.client, handle);
  if (taken === undefined) throw new Fault('request_uri_invalid');
  return { ...asked, parameters: readParameters(taken.text), delivery: taken.delivery };
}
