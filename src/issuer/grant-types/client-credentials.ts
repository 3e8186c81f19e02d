import { Fault } from '#kernel';
import { readDetails } from '../authorization-details.ts';
import { ownScopes } from '../scopes.ts';
import { allowedDetails } from '../steps/check-details.ts';
import { resourcesWithin } from '../steps/check-resources.ts';
import { scopesWithin } from '../steps/check-scopes.ts';
import { mintAccessToken } from '../tokens.ts';
import type { GrantType } from './index.ts';

/** The client for itself (OAuth 2.1 §4.2). Nothing is stored: the client is the token's only parent. */
export const clientCredentials: GrantType = {
  refreshes: false,
  proven: true,
  async redeem(deps, asked) {
    const { at, client, confirmation } = asked;
    if (asked.method === 'none') throw new Fault('client_unauthorized');
    // The scopes of a person mean nothing where there is none.
    const scopes = scopesWithin(
      asked.parameters,
      client.scopes.filter((scope) => ownScopes[scope] === undefined),
    );
    const resources = resourcesWithin(asked.parameters, client.resources);
    const types = await deps.detailsTypes.registered(at.organization.id);
    const details = allowedDetails(client, readDetails(asked.parameters.one('authorization_details'), types));
    const authorized = { at, client, confirmation, subject: { kind: 'client' }, scopes, resources, details } as const;
    return { ...(await mintAccessToken(deps, authorized)), scopes };
  },
};
