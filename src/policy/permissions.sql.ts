import { sql } from 'kysely';
import { type Reach, reachSchema } from '#api';
import type { OrganizationId, PermissionId, Principal } from '#kernel';
import { containing, type Records, type Schema, type Writing } from '#store';
import type { Facts, Permission, PermissionQuery, Question } from './contract.ts';

type Row = Omit<Schema['permissions'], 'row'> & { readonly row: number };

export type PermissionQueries = ReturnType<typeof permissionQueries>;

/** Every statement on `permissions`. */
export function permissionQueries(records: Records) {
  return Object.freeze({
    /** What counts for an agent: its own, and those for all agents of its owner. Ended ones are left out, expired ones not. */
    ofAgent: async (organization: OrganizationId, agent: Question['agent']): Promise<Omit<Facts, 'generation'>> => {
      const rows = await records.in(organization).read(async ({ db }) => {
        const live = db.selectFrom('permissions').selectAll().where('organization_id', '=', organization).where('ended_at', 'is', null);
        const own = await live.where('agent_id', '=', agent.id).orderBy('row').execute();
        if (agent.owner === undefined) return own;
        const shared = await live.where('owner_user_id', '=', agent.owner).where('agent_id', 'is', null).orderBy('row').execute();
        return [...own, ...shared];
      });
      const permissions = rows.map(permissionOf);
      return {
        allow: permissions.filter(({ effect }) => effect === 'allow'),
        deny: permissions.filter(({ effect }) => effect === 'deny'),
      };
    },

    byId: async (organization: OrganizationId, id: PermissionId): Promise<Permission | undefined> => {
      const row = await records.in(organization).read((tx) => select(tx, organization, id));
      return row === undefined ? undefined : permissionOf(row);
    },

    list: async (organization: OrganizationId, query: PermissionQuery): Promise<{ items: readonly Permission[]; next?: string }> => {
      const limit = Math.min(Math.max(Math.trunc(query.limit), 1), 1000);
      const rows = await records.in(organization).read(({ db }) => {
        let chosen = db.selectFrom('permissions').selectAll().where('organization_id', '=', organization);
        if (query.agent !== undefined) chosen = chosen.where('agent_id', '=', query.agent);
        if (query.connection !== undefined) chosen = chosen.where('connection_id', '=', query.connection);
        if (query.includeEnded !== true) chosen = chosen.where('ended_at', 'is', null);
        if (query.cursor !== undefined) chosen = chosen.where('row', '<', rowOf(query.cursor));
        if (query.text !== undefined && query.text !== '') chosen = chosen.where(holdsText(query.text));
        return chosen
          .orderBy('row', 'desc')
          .limit(limit + 1)
          .execute();
      });
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const items = page.map(permissionOf);
      return rows.length > limit && last !== undefined ? { items, next: String(last.row) } : { items };
    },

    insert: async (tx: Writing, permission: Permission, by: Principal): Promise<void> => {
      const { target } = permission;
      await tx.db
        .insertInto('permissions')
        .values({
          id: permission.id,
          organization_id: permission.organization,
          created_at: permission.createdAt,
          effect: permission.effect,
          agent_id: permission.agent ?? null,
          owner_user_id: permission.owner ?? null,
          connection_id: target.kind === 'connection' ? target.id : null,
          provider_id: target.kind === 'provider' ? target.id : null,
          reach_json: JSON.stringify(permission.reach),
          level: permission.level ?? null,
          pass_credential: permission.passCredential ? 1 : 0,
          expires_at: permission.expiresAt ?? null,
          created_by_json: JSON.stringify({ subject: by.subject, actors: by.actors }),
          ended_at: null,
          version: 1,
        })
        .execute();
    },

    /** The permission, ended now by this very call; undefined when there is none to end. */
    end: async (tx: Writing, organization: OrganizationId, id: PermissionId, now: number): Promise<Permission | undefined> => {
      const { numUpdatedRows } = await tx.db
        .updateTable('permissions')
        .set((row) => ({ ended_at: now, version: row('version', '+', 1) }))
        .where('organization_id', '=', organization)
        .where('id', '=', id)
        .where('ended_at', 'is', null)
        .executeTakeFirstOrThrow();
      if (numUpdatedRows !== 1n) return undefined;
      const row = await select(tx, organization, id);
      return row === undefined ? undefined : permissionOf(row);
    },
  });
}

function select({ db }: Pick<Writing, 'db'>, organization: OrganizationId, id: PermissionId) {
  return db.selectFrom('permissions').selectAll().where('organization_id', '=', organization).where('id', '=', id).executeTakeFirst();
}

function rowOf(cursor: string): number {
  return /^[0-9]{1,15}$/.test(cursor) ? Number(cursor) : 0;
}

function holdsText(text: string) {
  const pattern = containing(text.toLowerCase());
  return sql<boolean>`(lower(reach_json) like ${pattern} escape '!' or provider_id like ${pattern} escape '!' or id like ${pattern} escape '!')`;
}

function permissionOf(row: Row): Permission {
  return {
    id: row.id,
    organization: row.organization_id,
    effect: row.effect,
    agent: row.agent_id ?? undefined,
    owner: row.owner_user_id ?? undefined,
    target: targetOf(row),
    reach: reachOf(row),
    level: row.level ?? undefined,
    passCredential: row.pass_credential === 1,
    expiresAt: row.expires_at ?? undefined,
    createdAt: row.created_at,
    endedAt: row.ended_at ?? undefined,
  };
}

function targetOf({ id, connection_id, provider_id }: Row): Permission['target'] {
  if (connection_id !== null) return { kind: 'connection', id: connection_id };
  if (provider_id !== null) return { kind: 'provider', id: provider_id };
  throw new Error(`the permission ${id} is about nothing`);
}

function reachOf({ reach_json }: Row): Reach {
  return reachSchema.parse(JSON.parse(reach_json));
}
