/**
 * How far a reader has come in rows that grow. A row gets its number before its COMMIT, so of two processes the one with the
 * lower number may commit later: numbers that were passed over are looked for again, for a while.
 */
export interface Position {
  readonly row: number;
  /** In order; what nobody committed in time was undone. */
  readonly missing: readonly Missing[];
}

/** Numbers from one to another, both included, and since when they have been missed. */
export interface Missing {
  readonly from: number;
  readonly to: number;
  readonly since: number;
}

/** Longer than any write may take. */
export const patience = 60_000;
const most = 100;
/** How many of the last rows are looked through for what is under way when a reader begins. */
export const lookBack = 1_000;

/** Where a reader begins who has seen all that is there; given the last `lookBack` rows, or all, in order. */
export function beginAfter(lastRows: readonly number[], now: number): Position {
  const first = lastRows.length < lookBack ? 0 : (lastRows[0] ?? 0);
  return advance({ row: first, missing: [] }, lastRows, now);
}

/** The position after these rows, in order, which are all that are there of the missing and those after the last. */
export function advance({ row, missing }: Position, rows: readonly number[], now: number): Position {
  const still: Missing[] = [];
  for (const range of missing) if (now - range.since < patience) still.push(...without(range, rows));
  let last = row;
  for (const next of rows) {
    if (next <= row) continue;
    if (next > last + 1) still.push({ from: last + 1, to: next - 1, since: now });
    last = next;
  }
  return { row: last, missing: still.slice(-most) };
}

/** What is left of a range without the rows that came. */
function without({ from, to, since }: Missing, rows: readonly number[]): Missing[] {
  const left: Missing[] = [];
  let next = from;
  for (const row of rows) {
    if (row < next || row > to) continue;
    if (row > next) left.push({ from: next, to: row - 1, since });
    next = row + 1;
  }
  if (next <= to) left.push({ from: next, to, since });
  return left;
}

const shape = /^1_\d{1,15}(?:_\d{1,15}-\d{1,15}-\d{1,15})*$/;

/** As text, for who asks again and again and is remembered by nobody. */
export function positionText({ row, missing }: Position): string {
  return ['1', row, ...missing.map(({ from, to, since }) => `${from}-${to}-${since}`)].join('_');
}

/** Undefined: it is not one of ours. */
export function parsePosition(text: string): Position | undefined {
  if (!shape.test(text)) return undefined;
  const [, row, ...ranges] = text.split('_');
  const missing = ranges.slice(-most).map((range) => {
    const [from = 0, to = 0, since = 0] = range.split('-').map(Number);
    return { from, to, since };
  });
  return { row: Number(row), missing };
}
