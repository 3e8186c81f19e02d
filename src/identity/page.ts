import { Fault } from '#kernel';
import type { Listing, ListQuery } from './contract.ts';

/** Where a page begins: rows below this row id, newest first. */
export interface PageStart {
  readonly before: number | undefined;
  readonly limit: number;
  /** A pattern for `like … escape '!'`, lower-case. */
  readonly like: string | undefined;
}

const largest = 200;

/** Reads a query. @throws {Fault} `invalid_request` when the cursor is not one of ours */
export function pageStart(query: ListQuery): PageStart {
  const limit = Math.min(Math.max(Math.trunc(query.limit), 1), largest);
  const text = query.text?.trim().toLowerCase();
  return { before: query.cursor === undefined ? undefined : rowOf(query.cursor), limit, like: text ? containing(text) : undefined };
}

/** One more row than the page was read: the rest says whether there is a next page. */
export function listingOf<R extends { readonly row: number }, T>(rows: readonly R[], start: PageStart, view: (row: R) => T): Listing<T> {
  const shown = rows.slice(0, start.limit);
  const items = shown.map(view);
  const last = shown.at(-1);
  return rows.length > start.limit && last !== undefined ? { items, next: cursorOf(last.row) } : { items };
}

function cursorOf(row: number): string {
  return Buffer.from(`r${row}`).toString('base64url');
}

function rowOf(cursor: string): number {
  const match = /^r([0-9]{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (match === null) throw new Fault('invalid_request', { fields: { '/cursor': 'use the value of next from the page before' } });
  return Number(match[1]);
}

function containing(text: string): string {
  return `%${text.slice(0, 200).replace(/[!%_]/g, '!$&')}%`;
}
