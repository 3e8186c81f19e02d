import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Named, Parsed } from '../stages.ts';

/** The client that a browser says it comes from; nothing of the request is believed for that. @throws {Fault} `client_unknown`, `client_document_unusable`, for a page */
export async function nameClient(deps: IssuerDeps, asked: Parsed): Promise<Named> {
  const id = asked.parameters.one('client_id');
  const client = id === undefined ? undefined : await deps.clients.current(asked.at.organization.id, id);
  if (client === undefined) throw new Fault('client_unknown');
  return { ...asked, client };
}
