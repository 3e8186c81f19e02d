import { type ExpressionBuilder, type Kysely, type SelectQueryBuilder, sql } from 'kysely';
import type { OrganizationId } from '#kernel';
import { hotQuery, type Reading, type Records, type Schema, type Writing } from '#store';
import { bodyOf, type Prepared, parseBody } from './body.ts';
import { emptyChain, type Head, link } from './chain.ts';
import type { EventPage, EventQuery, RecordedEvent } from './contract.ts';
import type { Position } from './position.ts';

type Database = Kysely<Schema>;

/** A row of `events` as verification needs it: the columns must say what the body says. */
export type EventRow = Omit<Schema['events'], 'row'>;
export type CheckpointRow = Omit<Schema['audit_checkpoints'], 'row'>;
export type AuditKeyRow = Pick<Schema['audit_keys'], 'organization_id' | 'key_envelope' | 'public_key' | 'version'>;
export interface ChainHead extends Head {
  readonly organization: OrganizationId;
  readonly writer: string;
}

/** Appends to one chain of the organization, in the caller's transaction: head read, rows inserted, head moved. */
export async function append(tx: Writing, organization: OrganizationId, writer: string, events: readonly Prepared[]): Promise<void> {
  const before = await headOf(tx, organization, writer);
  const head = before ?? emptyChain;
  let last: Head = head;
  const rows = events.map((event) => {
    const row = rowOf(event, writer, last);
    last = row;
    return row;
  });
  await insertEvent.each(tx, rows);
  await moveHead(tx, { organization, writer, ...head }, last, before === undefined);
}

/** Appends the events of many organizations in one transaction. */
async function appendMany(tx: Writing, writer: string, events: readonly Prepared[]): Promise<void> {
  for (const [organization, group] of Map.groupBy(events, (event) => event.organization)) await append(tx, organization, writer, group);
}

function rowOf(event: Prepared, writer: string, last: Head): EventRow {
  const sequence = last.sequence + 1;
  const body = bodyOf(event, sequence);
  return {
    id: event.id,
    organization_id: event.organization,
    writer,
    sequence,
    at: event.at,
    name: event.name,
    subject: event.subject,
    actor: event.actor,
    body_json: body,
    previous_hash: last.hash,
    hash: link(last.hash, body),
  };
}

/** On the way of every call, so built once. */
export const insertEvent = hotQuery<EventRow>((db, slot, own) =>
  db.insertInto('events').values({
    id: slot('id'),
    organization_id: own ?? slot('organization_id'),
    writer: slot('writer'),
    sequence: slot('sequence'),
    at: slot('at'),
    name: slot('name'),
    subject: slot('subject'),
    actor: slot('actor'),
    body_json: slot('body_json'),
    previous_hash: slot('previous_hash'),
    hash: slot('hash'),
  }),
);

export const selectHead = hotQuery<{ organization: OrganizationId; writer: string }, Head>((db, slot) =>
  db
    .selectFrom('audit_heads')
    .select(['sequence', 'hash'])
    .where('organization_id', '=', slot('organization'))
    .where('writer', '=', slot('writer')),
);

export const updateHead = hotQuery<ChainHead & { to: number }>((db, slot) =>
  db
    .updateTable('audit_heads')
    .set({ sequence: slot('to'), hash: slot('hash') })
    .where('organization_id', '=', slot('organization'))
    .where('writer', '=', slot('writer'))
    .where('sequence', '=', slot('sequence')),
);

async function headOf(tx: Reading, organization: OrganizationId, writer: string): Promise<Head | undefined> {
  const { rows } = await selectHead(tx, { organization, writer });
  return rows[0];
}

/** Moves the head from where it was read. Somebody else in the chain would be a lost event: it fails instead. */
async function moveHead(tx: Writing, from: ChainHead, to: Head, isNew: boolean): Promise<void> {
  const { organization, writer } = from;
  if (isNew) {
    await tx.db.insertInto('audit_heads').values({ organization_id: organization, writer, sequence: to.sequence, hash: to.hash }).execute();
    return;
  }
  const { numAffectedRows } = await updateHead(tx, { ...from, to: to.sequence, hash: to.hash });
  if (numAffectedRows !== 1n) throw new Error('another process appends to this audit chain');
}

export type AuditQueries = ReturnType<typeof auditQueries>;

/** Every other statement on the audit tables. */
export function auditQueries(records: Records) {
  const platform = records.platform('the audit trail is written and signed for every organization at once');

  return Object.freeze({
    appendMany: (writer: string, events: () => readonly Prepared[]): Promise<void> =>
      platform.write((tx) => appendMany(tx, writer, events())),

    /** Those of these events that are recorded. */
    recorded: async (ids: readonly Prepared[]): Promise<ReadonlySet<string>> => {
      const wanted = ids.map((event) => event.id);
      const rows = await platform.read(({ db }) => db.selectFrom('events').select('id').where('id', 'in', wanted).execute());
      return new Set(rows.map((row) => row.id));
    },

    /** The last rows of all, in order. */
    lastRows: async (limit: number): Promise<readonly number[]> => {
      const rows = await platform.read(({ db }) => db.selectFrom('events').select('row').orderBy('row', 'desc').limit(limit).execute());
      return rows.map(({ row }) => row).reverse();
    },

    /** Events of every organization that a position has not seen, in order. */
    following: async (position: Position, limit: number): Promise<readonly { readonly row: number; readonly event: RecordedEvent }[]> => {
      const rows = await platform.read(({ db }) =>
        db.selectFrom('events').select(['row', 'body_json']).where(unseenBy(position)).orderBy('row').limit(limit).execute(),
      );
      return rows.map((one) => ({ row: one.row, event: parseBody(one.body_json) }));
    },

    /** Their rows alone. */
    rowsAfter: async (position: Position, limit: number): Promise<readonly number[]> => {
      const rows = await platform.read(({ db }) =>
        db.selectFrom('events').select('row').where(unseenBy(position)).orderBy('row').limit(limit).execute(),
      );
      return rows.map(({ row }) => row);
    },

    /** Which of these rows are the organization's, and answer the query. */
    among: async (organization: OrganizationId, rows: readonly number[], query: EventQuery): Promise<readonly RecordedEvent[]> => {
      if (rows.length === 0) return [];
      const found = await records.in(organization).read(({ db }) => {
        const all = db.selectFrom('events').select(['row', 'body_json']).where('organization_id', '=', organization);
        return narrowed(all.where('row', 'in', rows), query)
          .orderBy('row')
          .execute();
      });
      return found.map(({ body_json }) => parseBody(body_json));
    },

    search: (organization: OrganizationId, query: EventQuery): Promise<EventPage> =>
      records.in(organization).read(({ db }) => search(db, organization, query)),

    /** One page of a chain, in order. */
    chain: (organization: OrganizationId, writer: string, after: number, limit: number): Promise<EventRow[]> =>
      records
        .in(organization)
        .read(({ db }) =>
          db
            .selectFrom('events')
            .select(['id', 'organization_id', 'writer', 'sequence', 'at', 'name', 'subject', 'actor', 'body_json', 'previous_hash', 'hash'])
            .where('organization_id', '=', organization)
            .where('writer', '=', writer)
            .where('sequence', '>', after)
            .orderBy('sequence')
            .limit(limit)
            .execute(),
        ),

    heads: async (organization: OrganizationId): Promise<readonly ChainHead[]> => {
      const rows = await records
        .in(organization)
        .read(({ db }) => db.selectFrom('audit_heads').selectAll().where('organization_id', '=', organization).execute());
      return rows.map(({ organization_id, ...head }) => ({ organization: organization_id, ...head }));
    },

    /** Every writer that has an event, a head or a checkpoint. */
    writers: async (organization: OrganizationId): Promise<readonly string[]> => {
      const found = await records
        .in(organization)
        .read(async ({ db }) => [
          ...(await db.selectFrom('events').select('writer').distinct().where('organization_id', '=', organization).execute()),
          ...(await db.selectFrom('audit_heads').select('writer').where('organization_id', '=', organization).execute()),
          ...(await db.selectFrom('audit_checkpoints').select('writer').distinct().where('organization_id', '=', organization).execute()),
        ]);
      return [...new Set(found.map((row) => row.writer))].sort();
    },

    /** Sequence of the last checkpoint of a chain; 0 when there is none. */
    lastCheckpoint: async (organization: OrganizationId, writer: string): Promise<number> => {
      const last = await records
        .in(organization)
        .read(({ db }) =>
          db
            .selectFrom('audit_checkpoints')
            .select('sequence')
            .where('organization_id', '=', organization)
            .where('writer', '=', writer)
            .orderBy('sequence', 'desc')
            .limit(1)
            .executeTakeFirst(),
        );
      return last?.sequence ?? 0;
    },

    checkpoints: (organization: OrganizationId, writer: string, after: number, limit: number): Promise<CheckpointRow[]> =>
      records
        .in(organization)
        .read(({ db }) =>
          db
            .selectFrom('audit_checkpoints')
            .select(['organization_id', 'writer', 'sequence', 'hash', 'at', 'signature'])
            .where('organization_id', '=', organization)
            .where('writer', '=', writer)
            .where('sequence', '>', after)
            .orderBy('sequence')
            .limit(limit)
            .execute(),
        ),

    /** Chains that grew since their last checkpoint. */
    grown: async (): Promise<readonly ChainHead[]> => {
      const rows = await platform.read(({ db }) =>
        db
          .selectFrom('audit_heads as head')
          .select(['head.organization_id', 'head.writer', 'head.sequence', 'head.hash'])
          .where(({ not, exists, selectFrom }) =>
            not(
              exists(
                selectFrom('audit_checkpoints as signed')
                  .select('signed.sequence')
                  .whereRef('signed.organization_id', '=', 'head.organization_id')
                  .whereRef('signed.writer', '=', 'head.writer')
                  .whereRef('signed.sequence', '>=', 'head.sequence'),
              ),
            ),
          )
          .execute(),
      );
      return rows.map(({ organization_id, ...head }) => ({ organization: organization_id, ...head }));
    },

    insertCheckpoint: (row: CheckpointRow): Promise<void> =>
      records.in(row.organization_id).write(async ({ db }) => {
        await db.insertInto('audit_checkpoints').values(row).execute();
      }),

    key: (organization: OrganizationId): Promise<AuditKeyRow | undefined> =>
      records
        .in(organization)
        .read(({ db }) =>
          db
            .selectFrom('audit_keys')
            .select(['organization_id', 'key_envelope', 'public_key', 'version'])
            .where('organization_id', '=', organization)
            .executeTakeFirst(),
        ),

    insertKey: (row: AuditKeyRow & { readonly created_at: number }): Promise<void> =>
      records.in(row.organization_id).write(async ({ db }) => {
        await db.insertInto('audit_keys').values(row).execute();
      }),

    keysAfter: (organization: string, limit: number): Promise<AuditKeyRow[]> =>
      platform.read(({ db }) =>
        db
          .selectFrom('audit_keys')
          .select(['organization_id', 'key_envelope', 'public_key', 'version'])
          .where('organization_id', '>', organization as OrganizationId)
          .orderBy('organization_id')
          .limit(limit)
          .execute(),
      ),

    /** False: the row was changed meanwhile. */
    resealKey: (row: AuditKeyRow, envelope: Uint8Array): Promise<boolean> =>
      platform.write(async ({ db }) => {
        const { numUpdatedRows } = await db
          .updateTable('audit_keys')
          .set({ key_envelope: envelope, version: row.version + 1 })
          .where('organization_id', '=', row.organization_id)
          .where('version', '=', row.version)
          .executeTakeFirstOrThrow();
        return numUpdatedRows === 1n;
      }),
  });
}

/** One statement, so that of one chain no later event is seen without those before it. */
function unseenBy({ row, missing }: Position) {
  return ({ or, and, eb }: ExpressionBuilder<Schema, 'events'>) =>
    or([eb('row', '>', row), ...missing.map(({ from, to }) => and([eb('row', '>=', from), eb('row', '<=', to)]))]);
}

type EventSelect = SelectQueryBuilder<Schema, 'events', { row: number; body_json: string }>;

async function search(db: Database, organization: OrganizationId, query: EventQuery): Promise<EventPage> {
  const limit = Math.min(Math.max(Math.trunc(query.limit), 1), 1000);
  const newest = query.order !== 'oldest';
  const all = db.selectFrom('events').select(['row', 'body_json']).where('organization_id', '=', organization);
  const found = await after(narrowed(all, query), query.cursor, newest)
    .orderBy('row', newest ? 'desc' : 'asc')
    .limit(limit + 1)
    .execute();
  const page = found.slice(0, limit);
  const events = page.map((row) => parseBody(row.body_json));
  const last = page.at(-1);
  return found.length > limit && last !== undefined ? { events, next: String(last.row) } : { events };
}

function after(select: EventSelect, cursor: string | undefined, newest: boolean): EventSelect {
  if (cursor === undefined) return select;
  const row = /^[0-9]{1,15}$/.test(cursor) ? Number(cursor) : 0;
  return newest ? select.where('row', '<', row) : select.where('row', '>', row);
}

function narrowed(select: EventSelect, query: EventQuery): EventSelect {
  let chosen = select;
  if (query.since !== undefined) chosen = chosen.where('at', '>=', query.since);
  if (query.until !== undefined) chosen = chosen.where('at', '<=', query.until);
  if (query.name !== undefined) chosen = byName(chosen, query.name);
  if (query.subject !== undefined) chosen = byParty(chosen, 'subject', query.subject);
  if (query.actor !== undefined) chosen = byParty(chosen, 'actor', query.actor);
  if (query.run !== undefined) chosen = bodyHolds(chosen, `"run":${JSON.stringify(query.run)}`);
  if (query.connection !== undefined) chosen = bodyHolds(chosen, `"connection":${JSON.stringify(query.connection)}`);
  if (query.text !== undefined && query.text !== '') chosen = bodyHolds(chosen, JSON.stringify(query.text).slice(1, -1));
  return chosen;
}

/** A whole name, or all of a kind: `call.*`. */
function byName(select: EventSelect, name: string): EventSelect {
  if (!name.endsWith('.*')) return select.where('name', '=', name);
  return select.where(sql<boolean>`name like ${`${escaped(name.slice(0, -1))}%`} escape '!'`);
}

/** `agent:agt_…`, or the id alone. */
function byParty(select: EventSelect, column: 'subject' | 'actor', party: string): EventSelect {
  return select.where(sql<boolean>`${sql.ref(column)} like ${`%${escaped(party)}%`} escape '!'`);
}

/** Letter case makes no difference for a to z, which is what every database agrees on. */
function bodyHolds(select: EventSelect, text: string): EventSelect {
  const lower = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return select.where(sql<boolean>`lower(body_json) like ${`%${escaped(lower)}%`} escape '!'`);
}

function escaped(text: string): string {
  return text.replace(/[!%_]/g, (character) => `!${character}`);
}
