import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import { readParameters } from '../parameters.ts';
import { parametersOf, verifiedObject } from '../request-objects.ts';
import type { Requested } from '../stages.ts';

/**
 * The client's signed request object by value: what it holds is the request, and everything beside it is ignored but `client_id`,
 * which is the same (RFC 9101 §6.3). @throws {Fault} `request_object_invalid`, for a page: nothing outside says where to go
 */
export async function openRequestObject<S extends Requested>(deps: IssuerDeps, asked: S): Promise<S> {
  const text = asked.parameters.one('request');
  if (text === undefined) return asked;
  const claims = await verifiedObject(deps, asked.at, asked.client, text);
  if (claims === undefined) throw new Fault('request_object_invalid');
  return { ...asked, parameters: readParameters(parametersOf(claims)), delivery: { ...asked.delivery, signed: true } };
}
