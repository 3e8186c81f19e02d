import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { newId, type OrganizationId } from '#kernel';
import { type Reading, StoreMisuse, type Writing } from '#store';
import { openTestStore, type TestStore } from '../../test/support/store.ts';

let store: TestStore;
const ours = newId('org');
const theirs = newId('org');

beforeAll(async () => {
  store = await openTestStore();
  for (const organization of [ours, theirs]) {
    await store.records.in(organization).write(async (tx) => {
      for (const name of ['first', 'second']) await tx.db.insertInto('vaults').values(vault(organization, name)).execute();
      await tx.db.insertInto('users').values(user(organization)).execute();
    });
  }
});

function vault(organization: OrganizationId, name: string) {
  return {
    id: newId('vlt'),
    organization_id: organization,
    created_at: 1,
    name,
    owner_kind: 'organization' as const,
    owner_user_id: null,
    version: 1,
  };
}

function user(organization: OrganizationId) {
  return {
    id: newId('usr'),
    organization_id: organization,
    created_at: 1,
    email: 'A@example.org',
    email_key: 'a@example.org',
    name: 'A',
    role: 'owner' as const,
    status: 'active' as const,
    password_hash: null,
    epoch: 1,
    version: 1,
  };
}

const read = <T>(fn: (tx: Reading) => Promise<T>) => store.records.in(ours).read(fn);
const write = <T>(fn: (tx: Writing) => Promise<T>) => store.records.in(ours).write(fn);

const organizations = (rows: readonly { organization_id: OrganizationId | null }[]) => [...new Set(rows.map((row) => row.organization_id))];

test('a select sees one organization, whatever its own condition says', async () => {
  const rows = await read(({ db }) =>
    db
      .selectFrom('vaults')
      .select('organization_id')
      .where(({ eb, or }) => or([eb('name', '=', 'first'), eb('name', '<>', 'first')]))
      .execute(),
  );
  expect(rows).toHaveLength(2);
  expect(organizations(rows)).toEqual([ours]);
  const raw = await read(({ db }) => db.selectFrom('vaults').select('organization_id').where(sql<boolean>`1 = 1 or 1 = 1`).execute());
  expect(organizations(raw)).toEqual([ours]);
});

test('aliases, lists of tables, inner, left and cross joins are narrowed table by table', async () => {
  const listed = await read(({ db }) =>
    db.selectFrom(['vaults as a', 'users as b']).select(['a.organization_id', 'b.organization_id as other']).execute(),
  );
  expect(listed).toHaveLength(2);
  const joined = await read(({ db }) =>
    db
      .selectFrom('vaults as v')
      .leftJoin('users as u', (join) => join.on(({ or, lit, eb }) => or([eb(lit(1), '=', lit(1)), eb(lit(1), '=', lit(1))])))
      .select(['v.organization_id', 'u.organization_id as other'])
      .execute(),
  );
  expect(joined.map((row) => row.other)).toEqual([ours, ours]);
  const crossed = await read(({ db }) => db.selectFrom('vaults as v').crossJoin('users as u').select('u.organization_id').execute());
  expect(crossed).toHaveLength(2);
  const inner = await read(({ db }) =>
    db.selectFrom('users').innerJoin('vaults', 'vaults.name', 'vaults.name').selectAll('vaults').execute(),
  );
  expect(organizations(inner)).toEqual([ours]);
});

test('subqueries, unions and common table expressions are narrowed', async () => {
  const counted = await read(({ db }) =>
    db
      .with('all_vaults', (with_) => with_.selectFrom('vaults').select('organization_id'))
      .selectFrom('all_vaults')
      .select((eb) => [
        eb.fn.countAll<number>().as('direct'),
        eb.selectFrom('vaults').select(eb.fn.countAll<number>().as('n')).as('nested'),
        eb.selectFrom(db.selectFrom('vaults').select('id').as('x')).select(eb.fn.countAll<number>().as('n')).as('derived'),
      ])
      .executeTakeFirstOrThrow(),
  );
  expect({ ...counted }).toEqual({ direct: 2, nested: 2, derived: 2 });
  const united = await read(({ db }) =>
    db.selectFrom('vaults').select('organization_id').unionAll(db.selectFrom('users').select('organization_id')).execute(),
  );
  expect(organizations(united)).toEqual([ours]);
  const exists = await read(({ db }) =>
    db
      .selectFrom('users')
      .select('id')
      .where(({ exists, selectFrom }) => exists(selectFrom('vaults').select('id').where('organization_id', '=', theirs)))
      .execute(),
  );
  expect(exists).toEqual([]);
});

test('updates and deletes reach one organization', async () => {
  const updated = await write(({ db }) => db.updateTable('vaults').set({ version: 2 }).executeTakeFirstOrThrow());
  expect(updated.numUpdatedRows).toBe(2n);
  const aliased = await write(({ db }) => db.updateTable('vaults as v').set({ version: 3 }).executeTakeFirstOrThrow());
  expect(aliased.numUpdatedRows).toBe(2n);
  await write(({ db }) => db.insertInto('vaults').values(vault(ours, 'third')).execute());
  const deleted = await write(({ db }) => db.deleteFrom('vaults').where('name', '=', 'third').executeTakeFirstOrThrow());
  expect(deleted.numDeletedRows).toBe(1n);
  const foreign = await write(({ db }) => db.deleteFrom('vaults').where('organization_id', '=', theirs).executeTakeFirstOrThrow());
  expect(foreign.numDeletedRows).toBe(0n);
  const kept = await store.records
    .platform('test')
    .read(({ db }) => db.selectFrom('vaults').select('version').where('organization_id', '=', theirs).execute());
  expect(kept.map((row) => row.version)).toEqual([1, 1]);
});

test('an organization sees itself among the organizations, and nobody else', async () => {
  await store.records.platform('test').write(async ({ db }) => {
    for (const [index, id] of [ours, theirs].entries())
      await db
        .insertInto('organizations')
        .values({ id, slug: `s${index}`, name: 'n', issuer: `https://${index}.example`, epoch: 1, created_at: 1, version: 1 })
        .execute();
  });
  const rows = await read(({ db }) => db.selectFrom('organizations').select('id').execute());
  expect(rows.map((row) => row.id)).toEqual([ours]);
});

test('tables that belong to nobody are not narrowed', async () => {
  const rows = await read(({ db }) => db.selectFrom('generations').select('topic').execute());
  expect(rows.length).toBeGreaterThan(0);
});

test('an upsert does not touch the row of another organization', async () => {
  const [foreign] = await store.records
    .platform('test')
    .read(({ db }) => db.selectFrom('vaults').selectAll().where('organization_id', '=', theirs).execute());
  await write(({ db }) =>
    db
      .insertInto('vaults')
      .values({ ...vault(ours, 'taken'), id: foreign!.id })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ name: 'taken' }))
      .execute(),
  );
  const after = await store.records
    .platform('test')
    .read(({ db }) => db.selectFrom('vaults').select('name').where('id', '=', foreign!.id).execute());
  expect(after.map((row) => row.name)).toEqual([foreign!.name]);
});

const refused: Record<string, (tx: Writing) => Promise<unknown>> = {
  'an insert for another organization': ({ db }) => db.insertInto('vaults').values(vault(theirs, 'x')).execute(),
  'a list of inserts with one for another organization': ({ db }) =>
    db
      .insertInto('vaults')
      .values([vault(ours, 'x'), vault(theirs, 'x')])
      .execute(),
  'an insert whose organization is an expression': ({ db }) =>
    db
      .insertInto('vaults')
      .values({ ...vault(ours, 'x'), organization_id: sql<OrganizationId>`'x'` })
      .execute(),
  'an insert without an organization': ({ db }) =>
    db
      .insertInto('jobs')
      .values({ ...job(), organization_id: null })
      .execute(),
  'an insert from a select': ({ db }) => db.insertInto('vaults').columns(['id']).expression(db.selectFrom('vaults').select('id')).execute(),
  'an insert that replaces': ({ db }) => db.replaceInto('vaults').values(vault(ours, 'x')).execute(),
  'an insert or replace': ({ db }) => db.insertInto('vaults').orReplace().values(vault(ours, 'x')).execute(),
  'an update that moves a row away': ({ db }) => db.updateTable('vaults').set({ organization_id: theirs }).execute(),
  'an upsert that moves a row away': ({ db }) =>
    db
      .insertInto('vaults')
      .values(vault(ours, 'x'))
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ organization_id: theirs }))
      .execute(),
  'a whole raw query': ({ db }) => sql`select * from vaults`.execute(db),
  'a source that is SQL text': ({ db }) => db.selectFrom(sql<{ id: string }>`vaults`.as('v')).select('id').execute(),
  'a right join': ({ db }) => db.selectFrom('users').rightJoin('vaults', 'vaults.name', 'users.name').select('vaults.id').execute(),
  'a full join': ({ db }) => db.selectFrom('users').fullJoin('vaults', 'vaults.name', 'users.name').select('vaults.id').execute(),
  'a merge': ({ db }) => db.mergeInto('vaults').using('users', 'users.name', 'vaults.name').whenMatched().thenDelete().execute(),
  'a change of the schema': ({ db }) => db.schema.dropTable('vaults').execute(),
  'a plugin': async ({ db }) => db.withSchema('main').selectFrom('vaults').selectAll().execute(),
  'a transaction of its own': async ({ db }) => db.transaction().execute(async (inner) => inner.selectFrom('vaults').selectAll().execute()),
  'a connection of its own': async ({ db }) => db.connection().execute(async (inner) => inner.selectFrom('vaults').selectAll().execute()),
};

function job() {
  return {
    id: newId('job'),
    kind: 'k',
    unique_key: null,
    payload_json: '{}',
    progress_json: 'null',
    status: 'waiting' as const,
    run_at: 0,
    attempts: 0,
    lease_owner: null,
    lease_until: null,
    error: null,
    created_at: 0,
    finished_at: null,
    version: 1,
  };
}

for (const [what, attempt] of Object.entries(refused)) {
  test(`${what} is refused`, async () => {
    await expect(write(attempt)).rejects.toThrow(StoreMisuse);
  });
}

test('a query compiled for one organization does not run for another, nor one compiled for none', async () => {
  const compiled = await read(async ({ db }) => db.selectFrom('vaults').select('organization_id').compile());
  expect(organizations((await read(({ db }) => db.executeQuery(compiled))).rows)).toEqual([ours]);
  await expect(store.records.in(theirs).read(({ db }) => db.executeQuery(compiled))).rejects.toThrow(StoreMisuse);
  const wide = await store.records.platform('test').read(async ({ db }) => db.selectFrom('vaults').selectAll().compile());
  await expect(read(({ db }) => db.executeQuery(wide))).rejects.toThrow(StoreMisuse);
});

test('a scope needs an organization id, and the platform a reason, which is listed', () => {
  expect(() => store.records.in('vaults' as OrganizationId)).toThrow(StoreMisuse);
  expect(() => store.records.platform(' ')).toThrow(StoreMisuse);
  store.records.platform('a listed reason');
  expect(store.records.reasons()).toContain('a listed reason');
});
