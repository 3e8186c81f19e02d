import type { ClientId } from '#kernel';
import { ephemeraKey } from '#store';
import { clientOf, rowOf } from './client-rows.ts';
import { clientRow, deleteClient } from './clients.sql.ts';
import { forgetConsentsOf } from './consents.sql.ts';
import type { Client } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { lastGrantEnd } from './grants.sql.ts';
import { system } from './keys.ts';
import { lives } from './lives.ts';
import { deleteRegistration, expiredRegistrations, keepRegistration, type RegistrationRow } from './registrations.sql.ts';

const atMostEvery = 3_600_000;

/** A client that nobody registered for is kept for longer, as it was just used; written once an hour at most. */
export async function renewRegistration(deps: IssuerDeps, { id, organization, source }: Client): Promise<void> {
  const place = { organization, client: rowOf(organization, id) };
  const mark = ephemeraKey('registration_used', organization, place.client);
  if (source === 'static' || !(await deps.ephemera.claim(mark, '1', atMostEvery))) return;
  const now = deps.clock.now();
  const kept = { usedAt: now, until: now + lives.usedRegistration };
  await deps.records.in(organization).write((tx) => keepRegistration(tx, place, kept));
}

const everybody = 'clients that registered themselves and were not used, of every organization';

/**
 * Forgets clients that nobody used for as long as they are kept; returns how many. One below which a grant stands is kept until that
 * ends, so that no living token loses its client.
 */
export async function forgetRegistrations(deps: IssuerDeps, limit: number): Promise<number> {
  const expired = await deps.records.platform(everybody).read((tx) => expiredRegistrations(tx, deps.clock.now(), limit));
  for (const registration of expired) await forget(deps, registration);
  return expired.length;
}

async function forget(deps: IssuerDeps, registration: RegistrationRow): Promise<void> {
  const { organization_id: organization } = registration;
  const row = registration.client_id;
  const now = deps.clock.now();
  await deps.records.in(organization).write(async (tx) => {
    const found = await clientRow(tx, organization, row);
    const client = found === undefined ? (row as ClientId) : clientOf(found, []).id;
    const until = await lastGrantEnd(tx, client, now);
    if (until !== undefined) return keepRegistration(tx, { organization, client: row }, { usedAt: undefined, until: until + lives.skew });
    if (!(await deleteRegistration(tx, registration))) return;
    await forgetConsentsOf(tx, client);
    // Its document is still there: only this row says that an administrator removed it, for good.
    if (found?.source === 'document' && found.ended_at !== null) return;
    await deleteClient(tx, organization, row);
    await deps.audit.record(tx, { name: 'client.forgotten', principal: system(organization), fields: { client } });
    await tx.bump('issuing');
  });
}
