import { expect, test } from 'vitest';
import { newId, type OrganizationId, type VaultId } from '#kernel';
import { hotQuery, StoreMisuse } from '#store';
import { openTestStore } from '../../test/support/store.ts';

const insertVault = hotQuery<{ id: VaultId; name: string }>((db, slot, organization) =>
  db.insertInto('vaults').values({
    id: slot('id'),
    organization_id: organization as OrganizationId,
    created_at: 1,
    name: slot('name'),
    owner_kind: 'organization',
    owner_user_id: null,
    version: 1,
  }),
);

const byName = hotQuery<{ name: string }, { organization_id: OrganizationId }>((db, slot) =>
  db.selectFrom('vaults').select('organization_id').where('name', '=', slot('name')),
);

test('a hot query runs with other values each time, narrowed to the organization of its handle', async () => {
  const store = await openTestStore();
  const organizations = [newId('org'), newId('org')];
  for (const organization of organizations)
    await store.records.in(organization).write(async (tx) => {
      for (const name of ['a', 'b', 'b']) await insertVault(tx, { id: newId('vlt'), name });
    });
  for (const organization of organizations) {
    for (const [name, wanted] of [
      ['a', 1],
      ['b', 2],
      ['c', 0],
    ] as const) {
      const { rows } = await store.records.in(organization).read((tx) => byName(tx, { name }));
      expect(rows.map((row) => row.organization_id)).toEqual(Array(wanted).fill(organization));
    }
  }
  const { rows } = await store.records.platform('test').read((tx) => byName(tx, { name: 'b' }));
  expect(rows).toHaveLength(4);
});

test('a hot query does not run on a handle that has ended, nor without all its values', async () => {
  const store = await openTestStore();
  const scope = store.records.in(newId('org'));
  const kept = await scope.read(async (tx) => tx);
  await expect(byName(kept, { name: 'a' })).rejects.toThrow(StoreMisuse);
  await expect(scope.read(async (tx) => byName(tx, {} as { name: string }))).rejects.toThrow(StoreMisuse);
});

test('a hot query runs once for each of many values, all of them or none', async () => {
  const store = await openTestStore();
  const scope = store.records.in(newId('org'));
  const named = (name: string, id = newId('vlt')) => ({ id, name });
  const twice = newId('vlt');
  await scope.write((tx) => insertVault.each(tx, [named('a'), named('b'), named('b')]));
  await expect(scope.write((tx) => insertVault.each(tx, [named('c'), named('d', twice), named('e', twice)]))).rejects.toThrow();
  await expect(
    scope.write((tx) => insertVault.each(tx, [named('f'), { id: newId('vlt') } as { id: VaultId; name: string }])),
  ).rejects.toThrow(StoreMisuse);
  const count = async (name: string) => (await scope.read((tx) => byName(tx, { name }))).rows.length;
  expect(await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(count))).toEqual([1, 2, 0, 0, 0, 0]);
});
