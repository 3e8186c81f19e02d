import { Fault } from '#kernel';
import type { CommandSpec } from './command.ts';
import type { Context } from './context.ts';

/** Flags of every listing. */
export const pagingFlags: NonNullable<CommandSpec<object>['options']> = [
  ['--search <text>', 'only what contains this text'],
  ['--limit <count>', 'at most so many (1 to 200)', '50'],
  ['--cursor <cursor>', 'go on after an earlier page'],
  ['--all', 'every page'],
];

export interface PagingOptions {
  readonly search?: string;
  readonly limit: string;
  readonly cursor?: string;
  readonly all?: boolean;
}

interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string | undefined;
}

export interface PageQuery {
  readonly text?: string;
  readonly limit: number;
  readonly cursor?: string;
}

interface Shown<T> {
  readonly heads: readonly string[];
  row(item: T): readonly (string | number | boolean | undefined)[];
  readonly empty: string;
  /** What is to be said about them to people. */
  after?(items: readonly T[]): Promise<string | undefined>;
}

/** Prints one page, or all of them: a table for people, `{ items, next }` as JSON. */
export async function printPages<T>(
  context: Context,
  options: PagingOptions,
  ask: (query: PageQuery) => Promise<Page<T>>,
  show: Shown<T>,
): Promise<undefined> {
  const limit = Number(options.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 200)
    throw new Fault('invalid_usage', { hint: '--limit takes a number from 1 to 200' });
  const text = options.search === undefined ? {} : { text: options.search };
  const items: T[] = [];
  let next = options.cursor;
  do {
    const page = await ask({ ...text, limit, ...(next === undefined ? {} : { cursor: next }) });
    items.push(...page.items);
    next = page.next;
  } while (options.all && next !== undefined);
  if (context.speech.json) context.speech.value({ items, ...(next === undefined ? {} : { next }) });
  else if (items.length === 0) context.speech.note(show.empty);
  else context.speech.table(show.heads, items.map(show.row));
  const about = context.speech.json ? undefined : await show.after?.(items);
  if (about !== undefined) context.speech.note(about);
  if (!context.speech.json && next !== undefined) context.speech.note(`more with: --cursor ${next}`);
  return undefined;
}

/** `2 minutes ago`-free: ISO time to the minute, in UTC. */
export function timeOf(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : `${new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ')}Z`;
}

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** A time from `7d`, `90m` (counted from now, in the direction given) or an ISO date. @throws {Fault} `invalid_usage` */
export function parseTime(text: string, now: number, direction: 1 | -1): number {
  const [, count, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined) return now + direction * Number(count) * (units[unit] as number);
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new Fault('invalid_usage', { hint: 'write a time as 90m, 12h, 7d or 2030-01-31' });
  return at;
}
