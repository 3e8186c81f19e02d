import { containing, pageLimit, rowOfCursor } from '#store';
import type { ListQuery } from './contract.ts';

/** Where a page begins: rows below this row id, newest first. */
export interface PageStart {
  readonly before: number | undefined;
  readonly limit: number;
  /** A pattern for `like … escape '!'`, lower-case. */
  readonly like: string | undefined;
}

const longestText = 200;

/** Reads a query. @throws {Fault} `invalid_request` when the cursor is not one of ours */
export function pageStart(query: ListQuery): PageStart {
  const text = query.text?.trim().toLowerCase().slice(0, longestText);
  return {
    before: query.cursor === undefined ? undefined : rowOfCursor(query.cursor),
    limit: pageLimit(query.limit),
    like: text ? containing(text) : undefined,
  };
}
