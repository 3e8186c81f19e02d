import { type ClientAuthenticationName, clientAuthenticationNames } from '#api';
import { Fault } from '#kernel';
import { clientAuthentications, type Evidence } from '../client-authentication.ts';
import type { Client } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import type { Authenticated, Parsed } from '../stages.ts';

/**
 * One way of authenticating, the one this client is registered for (OAuth 2.1 §2.4). A client that a document describes is met where it
 * asks for something new; elsewhere what is known of it will do, unless it proves itself by keys, which may have changed.
 * @throws {Fault} `client_unauthenticated`, `invalid_request`, `client_document_unusable`
 */
export async function authenticateClient<S extends Parsed>(
  deps: IssuerDeps,
  asked: S,
  { meets = false }: { readonly meets?: boolean } = {},
): Promise<S & Authenticated> {
  const [found, ...more] = evidenceOf(asked);
  if (more.length > 0) throw new Fault('invalid_request', { detail: 'A client authenticates in one way at a time' });
  if (found === undefined) throw new Fault('client_unauthenticated');
  const named = asked.parameters.one('client_id');
  if (named !== undefined && named !== found.evidence.client)
    throw new Fault('invalid_request', { detail: 'client_id names another client than the one that authenticates' });
  const look = meets || found.method !== 'none' ? deps.clients.current : deps.clients.find;
  const client = await look(asked.at.organization.id, found.evidence.client);
  const method = methodFor(found, client);
  const row = clientAuthentications[method];
  if (client === undefined || !row.registeredAs.includes(client.authentication)) throw new Fault('client_unauthenticated');
  if (!(await row.holds(deps, asked.at, client, found.evidence))) throw new Fault('client_unauthenticated');
  return { ...asked, client, method };
}

interface Found {
  readonly method: ClientAuthenticationName;
  readonly evidence: Evidence;
}

/** A certificate lies in no parameter: of who sends nothing but its name, the registration says whether it counts (RFC 8705 §2). */
function methodFor({ method }: Found, client: Client | undefined): ClientAuthenticationName {
  return method === 'none' && client?.authentication === 'self_signed_tls_client_auth' ? client.authentication : method;
}

function evidenceOf(asked: Parsed): readonly Found[] {
  const proofs = clientAuthenticationNames
    .filter((method) => method !== 'none')
    .flatMap((method): readonly Found[] => {
      const evidence = clientAuthentications[method].read(asked);
      return evidence === undefined ? [] : [{ method, evidence }];
    });
  if (proofs.length > 0) return proofs;
  const evidence = clientAuthentications.none.read(asked);
  return evidence === undefined ? [] : [{ method: 'none', evidence }];
}
