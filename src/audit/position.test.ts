import fc from 'fast-check';
import { expect, test } from 'vitest';
import { advance, beginAfter, lookBack, type Position, parsePosition, patience, positionText } from './position.ts';

/** What a reader would be given by a table that holds these rows. */
const given = ({ row, missing }: Position, there: ReadonlySet<number>) =>
  [...there].filter((one) => one > row || missing.some(({ from, to }) => from <= one && one <= to)).sort((a, b) => a - b);

test('whatever the order in which rows are committed, each is given once', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 60 }), fc.integer({ min: 1, max: 7 }), (order, step) => {
      const commits = [...new Set(order)];
      const there = new Set<number>();
      const seen: number[] = [];
      let position: Position = { row: 0, missing: [] };
      for (let at = 0; at < commits.length; at += step) {
        for (const row of commits.slice(at, at + step)) there.add(row);
        const rows = given(position, there);
        seen.push(...rows);
        position = advance(position, rows, at);
        expect(parsePosition(positionText(position))).toEqual(position);
      }
      expect([...seen].sort((a, b) => a - b)).toEqual([...commits].sort((a, b) => a - b));
    }),
  );
});

test('who begins misses what was under way before, and does not hear again of what was there', () => {
  const position = beginAfter([4, 6, 9], 1_000);
  expect(position).toEqual({
    row: 9,
    missing: [
      { from: 1, to: 3, since: 1_000 },
      { from: 5, to: 5, since: 1_000 },
      { from: 7, to: 8, since: 1_000 },
    ],
  });
  expect(given(position, new Set([3, 4, 5, 6, 8, 9, 10]))).toEqual([3, 5, 8, 10]);
  const long = Array.from({ length: lookBack }, (_, index) => 5_000 + index);
  expect(beginAfter(long, 1)).toEqual({ row: 5_999, missing: [] });
  expect(beginAfter([], 1)).toEqual({ row: 0, missing: [] });
});

test('what was undone is looked for no longer than a write can take, and no more is kept than fits a request', () => {
  const position = beginAfter([1, 3], 1_000);
  expect(advance(position, [], 1_000 + patience).missing).toEqual([]);
  const every = Array.from({ length: 2_000 }, (_, index) => index * 2 + 1);
  const full = beginAfter(every, Date.now());
  expect(full.missing).toHaveLength(100);
  expect(full.missing.at(-1)?.to).toBe(3_998);
  expect(positionText(full).length).toBeLessThan(6_000);
});

test('a text that is no position is none', () => {
  for (const text of ['', '1', '1_', '2_5', '1_x', '1_5_6', '1_5_6-7', "1_5'", '1_5_6-7-8_']) expect(parsePosition(text)).toBeUndefined();
});
