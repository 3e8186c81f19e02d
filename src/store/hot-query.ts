import type { CompiledQuery, Kysely, QueryResult } from 'kysely';
import type { OrganizationId } from '#kernel';
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

/**
 * A query for paths where building it costs more than running it: built, narrowed and compiled once per
 * organization, then run with other values. Every slot is used as a plain value; the shape never depends on one.
 *
 * @example
 * const byId = hotQuery<{ id: string }, { name: string }>((db, slot) =>
 *   db.selectFrom('vaults').select('name').where('id', '=', slot('id')));
 * const { rows } = await byId(tx, { id });
 */
export function hotQuery<V extends object, R = unknown>(build: Build<V, R>): (tx: Reading, values: V) => Promise<QueryResult<R>> {
  const templates = new Map<OrganizationId | undefined, Template<R>>();

  function templateFor({ db, organization }: Reading): Template<R> {
    const known = templates.get(organization);
    if (known !== undefined) return known;
    const query = build(db, (name) => new Slot(name) as never, organization).compile();
    const slots = query.parameters.flatMap((parameter, index) => (parameter instanceof Slot ? [{ index, name: parameter.name }] : []));
    if (templates.size >= rememberedOrganizations) templates.clear();
    templates.set(organization, { query, slots });
    return { query, slots };
  }

  return (tx, values) => {
    const { query, slots } = templateFor(tx);
    const parameters = [...query.parameters];
    for (const { index, name } of slots) {
      const value = (values as Readonly<Record<string, unknown>>)[name];
      if (value === undefined) throw new StoreMisuse(`a hot query needs a value for ${name}`);
      parameters[index] = value;
    }
    return tx.db.executeQuery({ ...query, parameters });
  };
}
