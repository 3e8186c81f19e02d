import type { ClientId, Principal } from '#kernel';
import { parent } from '#oauth';
import type { IssuerGround } from './deps.ts';
import { insertEnding } from './endings.sql.ts';
import { endStandingGrant, standingGrantsBelow } from './grants.sql.ts';
import { longestUntil } from './lives.ts';

const atOnce = 100;

/** Ends every grant that stands below a client which has ended: it gets no new one meanwhile. */
export async function endGrantsOf(deps: IssuerGround, by: Principal, client: ClientId): Promise<void> {
  for (let last = atOnce; last >= atOnce; ) last = await endSome(deps, by, client);
}

function endSome({ records, clock, audit }: IssuerGround, by: Principal, client: ClientId): Promise<number> {
  const { organization } = by;
  const now = clock.now();
  const reason = 'client_removed';
  return records.in(organization).write(async (tx) => {
    const grants = await standingGrantsBelow(tx, client, now, atOnce);
    for (const id of grants) {
      if ((await endStandingGrant(tx, id, reason, now)) === undefined) continue;
      await insertEnding(tx, { organization, subject: parent.grant(id), expiresAt: longestUntil(now) }, now);
      await audit.record(tx, { name: 'grant.ended', principal: by, fields: { grant: id, client, reason } });
    }
    return grants.length;
  });
}
