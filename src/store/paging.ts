import { Fault } from '#kernel';

/** A page of a listing; without `next` it is the last. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

const largest = 200;

/** How many items a page holds: as asked, within 1 and 200. Read one row more, which tells `pageOf` whether more follow. */
export function pageLimit(asked: number): number {
  return Math.min(Math.max(Math.trunc(asked), 1), largest);
}

/** Up to `limit` rows as items, and where the next page begins if more were read. */
export function pageOf<R extends { readonly row: number }, T>(rows: readonly R[], limit: number, view: (row: R) => T): Page<T> {
  const shown = rows.slice(0, limit);
  const items = shown.map(view);
  const last = shown.at(-1);
  return rows.length > limit && last !== undefined ? { items, next: Buffer.from(`r${last.row}`).toString('base64url') } : { items };
}

/** The row id at which the page before ended. @throws {Fault} `invalid_request` when the cursor is not one of ours */
export function rowOfCursor(cursor: string): number {
  const match = /^r([0-9]{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (match === null) throw new Fault('invalid_request', { fields: { '/cursor': 'use the value of next from the page before' } });
  return Number(match[1]);
}

/** A pattern for `like … escape '!'` that finds `text` anywhere. */
export function containing(text: string): string {
  return `%${text.replace(/[!%_]/g, '!$&')}%`;
}
