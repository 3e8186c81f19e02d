import type { CompiledQuery, Kysely, QueryResult } from 'kysely';
import type { OrganizationId } from '#kernel';
import type { RunnableQuery } from './backend.ts';
import { StoreMisuse } from './errors.ts';
import type { Reading } from './ports.ts';
import type { Schema } from './schema.ts';

const rememberedOrganizations = 1_000;

/** Stands for a value that is given at every run. */
class Slot {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A query as compiled for one organization, and which of its parameters are slots. */
interface Template<R> {
  readonly query: CompiledQuery<R>;
  readonly slots: readonly { readonly index: number; readonly name: string }[];
}

/** What a hot query is built from: `slot` gives the stand-in for a value, `organization` is the scope's own (undefined: the platform's). */
export type Build<V, R> = (
  db: Kysely<Schema>,
  slot: <K extends keyof V & string>(name: K) => V[K],
  organization: OrganizationId | undefined,
) => { compile(): CompiledQuery<R> };

export interface HotQuery<V extends object, R> {
  (tx: Reading, values: V): Promise<QueryResult<R>>;
  /** Runs it once for each of these, in order, in one go: nothing else of the transaction comes between. */
  each(tx: Reading, values: readonly V[]): Promise<void>;
}

/**
 * A query for paths where building it costs more than running it: built, narrowed and compiled once per
 * database and organization, then run with other values. Every slot is used as a plain value; the shape never depends on one.
 *
 * @example
 * const byId = hotQuery<{ id: string }, { name: string }>((db, slot) =>
 *   db.selectFrom('vaults').select('name').where('id', '=', slot('id')));
 * const { rows } = await byId(tx, { id });
 */
export function hotQuery<V extends object, R = unknown>(build: Build<V, R>): HotQuery<V, R> {
  const byDialect = new WeakMap<object, Map<OrganizationId | undefined, Template<R>>>();

  function templateFor({ db, organization }: Reading): Template<R> {
    const { adapter } = db.getExecutor();
    const templates = byDialect.get(adapter) ?? new Map<OrganizationId | undefined, Template<R>>();
    byDialect.set(adapter, templates);
    const known = templates.get(organization);
    if (known !== undefined) return known;
    const query = build(db, (name) => new Slot(name) as never, organization).compile();
    const slots = query.parameters.flatMap((parameter, index) => (parameter instanceof Slot ? [{ index, name: parameter.name }] : []));
    if (templates.size >= rememberedOrganizations) templates.clear();
    templates.set(organization, { query, slots });
    return { query, slots };
  }

  const run = (tx: Reading, values: V) => {
    const { query, slots } = templateFor(tx);
    return tx.db.executeQuery<R>({ ...query, parameters: fill(query, slots, values) });
  };
  const each = async (tx: Reading, all: readonly V[]) => {
    const { query, slots } = templateFor(tx);
    const repeated: RunnableQuery<R> = { ...query, each: all.map((values) => fill(query, slots, values)) };
    await tx.db.executeQuery<R>(repeated);
  };
  return Object.assign(run, { each });
}

function fill(query: CompiledQuery, slots: Template<unknown>['slots'], values: object): readonly unknown[] {
  const parameters = [...query.parameters];
  for (const { index, name } of slots) {
    const value = (values as Readonly<Record<string, unknown>>)[name];
    if (value === undefined) throw new StoreMisuse(`a hot query needs a value for ${name}`);
    parameters[index] = value;
  }
  return parameters;
}
