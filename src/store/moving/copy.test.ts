import { describe, expect, test } from 'vitest';
import { refuseDifferent } from './copy.ts';
import { canonical, digesting, type MovedRow } from './rows.ts';

const digestOf = (rows: readonly MovedRow[]) => {
  const digest = digesting('users');
  for (const row of rows) digest.add(row);
  return digest.end();
};
const row = { row: 1, name: 'a', key: Buffer.from('a'), gone: null };

describe('the digest of a table', () => {
  test('is the same however the columns stand and whatever holds the bytes', () => {
    const other = { gone: null, key: new Uint8Array([97]), name: 'a', row: 1 };
    expect(digestOf([other])).toEqual(digestOf([row]));
  });

  test.each<[string, MovedRow]>([
    ['another text', { ...row, name: 'b' }],
    ['text that is a number', { ...row, row: '1' }],
    ['bytes that are text', { ...row, key: 'a' }],
    ['an empty text for nothing', { ...row, gone: '' }],
    ['text that looks like two columns', { ...row, name: 'a;row=i1' }],
    ['a lacking column', { row: 1, name: 'a', key: Buffer.from('a') }],
  ])('tells %s', (_, changed) => {
    expect(canonical(changed)).not.toBe(canonical(row));
    expect(() => refuseDifferent([digestOf([row])], [digestOf([changed])])).toThrow(expect.objectContaining({ code: 'copy_differs' }));
  });

  test('tells rows that are missing, doubled or in another order', () => {
    const second = { ...row, row: 2 };
    const wanted = [digestOf([row, second])];
    for (const found of [[row], [row, second, second], [second, row], []])
      expect(() => refuseDifferent(wanted, [digestOf(found)])).toThrow(expect.objectContaining({ code: 'copy_differs' }));
    expect(() => refuseDifferent(wanted, [])).toThrow();
    expect(() => refuseDifferent(wanted, wanted)).not.toThrow();
  });
});
