import type { ConfirmationId, OrganizationId, UserId } from '#kernel';
import type { Reading, Records, Schema, Writing } from '#store';
import type { ChangeKind, Confirmation } from './contract.ts';

type Row = Omit<Schema['confirmations'], 'row'> & { readonly row: number };
/** What `answer` compares by. */
export type StoredConfirmation = Confirmation & { readonly version: number };

export type ConfirmationQueries = ReturnType<typeof confirmationQueries>;

/** Every statement on `confirmations`. */
export function confirmationQueries(records: Records) {
  return Object.freeze({
    insert: async (tx: Writing, confirmation: Confirmation, changeJson: string): Promise<void> => {
      await tx.db
        .insertInto('confirmations')
        .values({
          id: confirmation.id,
          organization_id: confirmation.organization,
          created_at: confirmation.createdAt,
          kind: confirmation.kind,
          change_json: changeJson,
          digest: confirmation.digest,
          requested_by_json: JSON.stringify(confirmation.requestedBy),
          status: 'open',
          decided_by: null,
          decided_at: null,
          result_json: null,
          expires_at: confirmation.expiresAt,
          version: 1,
        })
        .execute();
    },

    byId: (organization: OrganizationId, id: ConfirmationId, now: number): Promise<StoredConfirmation | undefined> =>
      records.in(organization).read((tx) => find(tx, organization, id, now)),

    list: async (
      organization: OrganizationId,
      query: { readonly status?: Confirmation['status']; readonly cursor?: string; readonly limit: number },
      now: number,
    ): Promise<{ items: readonly StoredConfirmation[]; next?: string }> => {
      const limit = Math.min(Math.max(Math.trunc(query.limit), 1), 1000);
      const rows = await records.in(organization).read(({ db }) => {
        let chosen = db.selectFrom('confirmations').selectAll().where('organization_id', '=', organization);
        const { status, cursor } = query;
        if (status === 'open') chosen = chosen.where('status', '=', 'open').where('expires_at', '>', now);
        else if (status === 'expired') {
          chosen = chosen.where(({ eb, and, or }) =>
            or([eb('status', '=', 'expired'), and([eb('status', '=', 'open'), eb('expires_at', '<=', now)])]),
          );
        } else if (status !== undefined) chosen = chosen.where('status', '=', status);
        if (cursor !== undefined) chosen = chosen.where('row', '<', /^[0-9]{1,15}$/.test(cursor) ? Number(cursor) : 0);
        return chosen
          .orderBy('row', 'desc')
          .limit(limit + 1)
          .execute();
      });
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const items = page.map((row) => confirmationOf(row, now));
      return rows.length > limit && last !== undefined ? { items, next: String(last.row) } : { items };
    },

    /** Spends an open confirmation. False: somebody else has answered. */
    spend: async (
      tx: Writing,
      confirmation: StoredConfirmation,
      status: 'confirmed' | 'refused',
      by: UserId,
      now: number,
    ): Promise<boolean> => {
      const { numUpdatedRows } = await tx.db
        .updateTable('confirmations')
        .set({ status, decided_by: by, decided_at: now, version: confirmation.version + 1 })
        .where('organization_id', '=', confirmation.organization)
        .where('id', '=', confirmation.id)
        .where('version', '=', confirmation.version)
        .where('status', '=', 'open')
        .where('expires_at', '>', now)
        .executeTakeFirstOrThrow();
      return numUpdatedRows === 1n;
    },

    keepResult: async (tx: Writing, confirmation: Confirmation, result: Readonly<Record<string, string>>): Promise<void> => {
      await tx.db
        .updateTable('confirmations')
        .set({ result_json: JSON.stringify(result) })
        .where('organization_id', '=', confirmation.organization)
        .where('id', '=', confirmation.id)
        .execute();
    },

    find,
  });
}

async function find(
  { db }: Reading,
  organization: OrganizationId,
  id: ConfirmationId,
  now: number,
): Promise<StoredConfirmation | undefined> {
  const row = await db
    .selectFrom('confirmations')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .executeTakeFirst();
  return row === undefined ? undefined : confirmationOf(row, now);
}

/** One that nobody answered in time is expired, whether or not a row says so. */
function confirmationOf(row: Row, now: number): StoredConfirmation {
  return {
    id: row.id,
    organization: row.organization_id,
    kind: row.kind as ChangeKind,
    change: JSON.parse(row.change_json) as Confirmation['change'],
    digest: row.digest,
    requestedBy: JSON.parse(row.requested_by_json) as Confirmation['requestedBy'],
    status: row.status === 'open' && row.expires_at <= now ? 'expired' : row.status,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
    result: row.result_json === null ? undefined : (JSON.parse(row.result_json) as Confirmation['result']),
    version: row.version,
  };
}
