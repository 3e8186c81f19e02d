import type { Insertable, Selectable } from 'kysely';
import type { AgentId, OrganizationId, RunId } from '#kernel';
import { isUniqueViolation, type Records, type Schema, type Writing } from '#store';

export type RunRow = Selectable<Schema['runs']>;
export type NewRunRow = Insertable<Schema['runs']>;
export type AuthorityRow = Omit<Selectable<Schema['authorities']>, 'row'>;

/** Every query on `runs` and `authorities`. */
export type RunQueries = ReturnType<typeof runQueries>;

export function runQueries(records: Records) {
  return Object.freeze({
    ...runRows(records),
    ...authorityRows(records),
    ...sealedRows(records),
  });
}

/** Ends every run of everybody, in the caller's transaction on the platform; how many. */
export async function endEveryRun(tx: Writing, now: number): Promise<number> {
  await tx.bump('revocations');
  const { numUpdatedRows } = await tx.db
    .updateTable('runs')
    .set((row) => ({ ended_at: now, version: row('version', '+', 1) }))
    .where('ended_at', 'is', null)
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

function runRows(records: Records) {
  return {
    insert: (tx: Writing, row: NewRunRow) => tx.db.insertInto('runs').values(row).execute(),

    byId: (organization: OrganizationId, id: RunId): Promise<RunRow | undefined> =>
      records
        .in(organization)
        .read((tx) =>
          tx.db.selectFrom('runs').selectAll().where('organization_id', '=', organization).where('id', '=', id).executeTakeFirst(),
        ),

    /** True if the run was live and now is ended: exactly one caller. */
    async end(tx: Writing, organization: OrganizationId, id: RunId, now: number): Promise<boolean> {
      const { numUpdatedRows } = await tx.db
        .updateTable('runs')
        .set((row) => ({ ended_at: now, version: row('version', '+', 1) }))
        .where('organization_id', '=', organization)
        .where('id', '=', id)
        .where('ended_at', 'is', null)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    },

    /** True if the run is live and was marked as renewed. */
    renew: (organization: OrganizationId, id: RunId, now: number): Promise<boolean> =>
      records.in(organization).write(async (tx) => {
        const { numUpdatedRows } = await tx.db
          .updateTable('runs')
          .set((row) => ({ renewed_at: now, version: row('version', '+', 1) }))
          .where('organization_id', '=', organization)
          .where('id', '=', id)
          .where('ended_at', 'is', null)
          .where('expires_at', '>', now)
          .executeTakeFirst();
        return numUpdatedRows === 1n;
      }),

    /** Newest first, from below `before`. */
    page(
      organization: OrganizationId,
      at: { readonly agent?: AgentId | undefined; readonly before: number | undefined; readonly limit: number },
    ): Promise<readonly RunRow[]> {
      return records.in(organization).read((tx) => {
        let query = tx.db.selectFrom('runs').selectAll().where('organization_id', '=', organization);
        if (at.agent !== undefined) query = query.where('agent_id', '=', at.agent);
        if (at.before !== undefined) query = query.where('row', '<', at.before);
        return query.orderBy('row', 'desc').limit(at.limit).execute();
      });
    },
  };
}

function authorityRows(records: Records) {
  return {
    authority: (organization: OrganizationId): Promise<AuthorityRow | undefined> =>
      records
        .in(organization)
        .read((tx) => tx.db.selectFrom('authorities').selectAll().where('organization_id', '=', organization).executeTakeFirst()),

    /** False if another was there first. */
    async insertAuthority(row: AuthorityRow): Promise<boolean> {
      try {
        await records.in(row.organization_id).write((tx) => tx.db.insertInto('authorities').values(row).execute());
        return true;
      } catch (error) {
        if (isUniqueViolation(error)) return false;
        throw error;
      }
    },
  };
}

function sealedRows(records: Records) {
  const platform = records.platform('re-sealing interception keys and placeholders of every organization');
  return {
    authoritiesAfter: (after: string, limit: number): Promise<readonly AuthorityRow[]> =>
      platform.read((tx) =>
        tx.db
          .selectFrom('authorities')
          .selectAll()
          .where('organization_id', '>', after as OrganizationId)
          .orderBy('organization_id')
          .limit(limit)
          .execute(),
      ),

    resealAuthority: (row: AuthorityRow, envelope: Uint8Array): Promise<boolean> =>
      platform.write(async (tx) => {
        const { numUpdatedRows } = await tx.db
          .updateTable('authorities')
          .set({ key_envelope: envelope, version: row.version + 1 })
          .where('organization_id', '=', row.organization_id)
          .where('version', '=', row.version)
          .executeTakeFirst();
        return numUpdatedRows === 1n;
      }),

    runsAfter: (after: string, limit: number): Promise<readonly RunRow[]> =>
      platform.read((tx) =>
        tx.db
          .selectFrom('runs')
          .selectAll()
          .where('id', '>', after as RunId)
          .orderBy('id')
          .limit(limit)
          .execute(),
      ),

    resealRun: (row: RunRow, envelope: Uint8Array): Promise<boolean> =>
      platform.write(async (tx) => {
        const { numUpdatedRows } = await tx.db
          .updateTable('runs')
          .set({ placeholders_envelope: envelope })
          .where('id', '=', row.id)
          .where('placeholders_envelope', '=', row.placeholders_envelope)
          .executeTakeFirst();
        return numUpdatedRows === 1n;
      }),
  };
}
