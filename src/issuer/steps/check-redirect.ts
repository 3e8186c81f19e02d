import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import { verifyRedirect } from '../redirects.ts';
import type { Addressed, Requested } from '../stages.ts';

/**
 * Where the client's browser goes back to, exactly as registered (OAuth 2.1 §4.1.1). Until that is known the browser is sent
 * nowhere. @throws {Fault} `redirect_unregistered`, for a page
 */
export function checkRedirect<S extends Requested>(_: IssuerDeps, asked: S): S & Addressed {
  const { client, parameters } = asked;
  const named = parameters.one('redirect_uri') ?? onlyOne(client.redirectUris);
  const redirect = named === undefined ? undefined : verifyRedirect(named, client.redirectUris);
  if (redirect === undefined) throw new Fault('redirect_unregistered');
  return { ...asked, redirect };
}

/** It may be left out where there is no choice (OAuth 2.1 §4.1.1). */
function onlyOne(uris: readonly string[]): string | undefined {
  return uris.length === 1 ? uris[0] : undefined;
}
