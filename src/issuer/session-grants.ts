import { Fault, type OrganizationId } from '#kernel';
import type { EndedSession } from '#signin';
import type { Writing } from '#store';
import type { Grant } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { standingGrantsIn } from './grants.sql.ts';
import { endGrantIn } from './grants.ts';
import { logoutJob } from './logout-jobs.ts';
import { clientsIn, forgetClientsIn, rememberClient } from './session-clients.sql.ts';

/** Ties a new grant to its session, in the transaction that stores it. @throws {Fault} `grant_invalid` when that has ended meanwhile */
export async function joinSession(deps: IssuerDeps, tx: Writing, { organization, sid, client, user }: Grant): Promise<void> {
  if (sid === undefined) return;
  if (!(await deps.signin.stands(tx, organization, sid))) throw new Fault('grant_invalid');
  await rememberClient(tx, { organization, sid, client, user }, deps.clock.now());
}

/**
 * What an ended session takes along: grants that are not for while the person is away (OpenID Connect Core §11), and its clients are
 * told (Back-Channel Logout §2.5). In the transaction that ends it, so that neither is without the other.
 */
export async function endWithSession(deps: IssuerDeps, tx: Writing, { organization, user, sid }: EndedSession): Promise<void> {
  for (const { id, scopes } of await standingGrantsIn(tx, sid))
    if (!scopes.includes('offline_access')) await endGrantIn(deps, tx, { organization, id, reason: 'session_ended' });
  for (const client of await clientsIn(tx, sid)) await deps.jobs.add(tx, logoutJob({ organization, user, sid, client }));
  await forgetClientsIn(tx, sid);
}

/** What an end of the session would take along. */
export async function hangingOn(deps: IssuerDeps, organization: OrganizationId, sid: string) {
  const { grants, ids } = await deps.records
    .in(organization)
    .read(async (tx) => ({ grants: await standingGrantsIn(tx, sid), ids: await clientsIn(tx, sid) }));
  const clients = await Promise.all(ids.map((id) => deps.clients.find(organization, id)));
  const told = clients.filter((client) => client?.logout?.backchannelUri !== undefined);
  return {
    grants: grants.filter(({ scopes }) => !scopes.includes('offline_access')).length,
    clients: told.flatMap((client) => (client === undefined ? [] : [client.name])),
  };
}
