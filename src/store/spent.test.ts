import { expect, test } from 'vitest';
import { newId } from '#kernel';
import { forgetSpent, isUniqueViolation, spend } from '#store';
import { openTestStore } from '../../test/support/store.ts';

test('a value is spent once per kind, in any organization, and only its hash is stored', async () => {
  const store = await openTestStore();
  const spent = { kind: 'link', value: 'canary', made: 'x', now: 1, expiresAt: 1000 };
  const attempts = Array.from({ length: 20 }, () => store.records.in(newId('org')).write((tx) => spend(tx, spent)));
  const results = await Promise.allSettled(attempts);
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  for (const result of results) if (result.status === 'rejected') expect(isUniqueViolation(result.reason, 'spent_values.hash')).toBe(true);
  const platform = store.records.platform('test');
  await platform.write((tx) => spend(tx, { ...spent, kind: 'code' }));
  const rows = await platform.read(({ db }) => db.selectFrom('spent_values').selectAll().execute());
  expect(rows).toHaveLength(2);
  expect(JSON.stringify(rows)).not.toContain('canary');
});

test('spent values are forgotten once they are dead by themselves, a few at a time, and not before', async () => {
  const store = await openTestStore();
  const platform = store.records.platform('test');
  for (let index = 0; index < 5; index++)
    await platform.write((tx) => spend(tx, { kind: 'link', value: `v${index}`, made: 'x', now: 1, expiresAt: index < 3 ? 100 : 200 }));
  const forget = () => platform.write((tx) => forgetSpent(tx, 100, 2));
  expect([await forget(), await forget(), await forget()]).toEqual([2, 1, 0]);
  await expect(platform.write((tx) => spend(tx, { kind: 'link', value: 'v4', made: 'x', now: 1, expiresAt: 200 }))).rejects.toThrow();
});
