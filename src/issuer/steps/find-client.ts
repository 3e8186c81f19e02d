import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import { verifyRedirect } from '../redirects.ts';
import type { Addressed, Parsed } from '../stages.ts';

/**
 * The client, and where its browser goes back to, exactly as registered (OAuth 2.1 §4.1.1). Until both are known the browser is
 * sent nowhere. @throws {Fault} `client_unknown`, `redirect_unregistered`, for a page
 */
export async function findClient(deps: IssuerDeps, asked: Parsed): Promise<Addressed> {
  const id = asked.parameters.one('client_id');
  const client = id === undefined ? undefined : await deps.clients.find(asked.at.organization.id, id);
  if (client === undefined) throw new Fault('client_unknown');
  const named = asked.parameters.one('redirect_uri') ?? onlyOne(client.redirectUris);
  const redirect = named === undefined ? undefined : verifyRedirect(named, client.redirectUris);
  if (redirect === undefined) throw new Fault('redirect_unregistered');
  return { ...asked, client, redirect };
}

/** It may be left out where there is no choice (OAuth 2.1 §4.1.1). */
function onlyOne(uris: readonly string[]): string | undefined {
  return uris.length === 1 ? uris[0] : undefined;
}
