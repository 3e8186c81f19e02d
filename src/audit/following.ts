import { type Clock, Fault, type OrganizationId } from '#kernel';
import type { EventQuery, Followed } from './contract.ts';
import type { AuditQueries } from './events.sql.ts';
import { advance, beginAfter, lookBack, parsePosition, positionText } from './position.ts';

const pageSize = 500;
const pages = 10;

/**
 * What was recorded since a position, for who asks again and again: each event once, also one that another process commits
 * late. The rows are looked up for all organizations, since one alone cannot tell a late row from somebody else's.
 */
export async function follow(
  { queries, clock }: { readonly queries: AuditQueries; readonly clock: Clock },
  organization: OrganizationId,
  query: Omit<EventQuery, 'cursor' | 'order'>,
  since: string,
): Promise<Followed> {
  if (since === 'now') return { events: [], position: positionText(beginAfter(await queries.lastRows(lookBack), clock.now())) };
  let position = parsePosition(since);
  if (position === undefined) {
    const sentence = 'write now, or the position of the answer before';
    throw new Fault('invalid_request', { detail: `follow: ${sentence}`, fields: { follow: sentence } });
  }
  const events: Followed['events'][number][] = [];
  for (let page = 0; page < pages; page++) {
    const rows = await queries.rowsAfter(position, pageSize);
    events.push(...(await queries.among(organization, rows, query)));
    position = advance(position, rows, clock.now());
    if (rows.length < pageSize) break;
  }
  return { events, position: positionText(position) };
}
