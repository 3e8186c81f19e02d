import {
  type CompiledQuery,
  type ConnectionProvider,
  type DatabaseIntrospector,
  DefaultQueryExecutor,
  type Dialect,
  type DialectAdapter,
  type Driver,
  Kysely,
  type QueryCompiler,
  type QueryId,
  type QueryResult,
  type RootOperationNode,
} from 'kysely';
import { StoreMisuse } from '../errors.ts';
import type { Narrowing } from '../narrowing.ts';
import type { Schema } from '../schema.ts';

/** How one database speaks SQL, and what it is asked about its tables. */
export interface Language {
  readonly compiler: QueryCompiler;
  readonly adapter: DialectAdapter;
  introspector(db: Kysely<unknown>): DatabaseIntrospector;
}

/** Runs one compiled query on the handle's connection. */
export type Run = (query: CompiledQuery) => QueryResult<unknown> | Promise<QueryResult<unknown>>;

/** One `read` or `write`: its queries run until it is closed, and throw from then on. */
export interface Handle {
  readonly db: Kysely<Schema>;
  readonly open: boolean;
  close(): void;
}

const refuse = () => {
  throw new StoreMisuse('a handle runs queries only: no transactions, connections, plugins or streams of its own');
};

const driver: Driver = Object.freeze({
  init: async () => {},
  acquireConnection: async () => refuse(),
  beginTransaction: async () => refuse(),
  commitTransaction: async () => refuse(),
  rollbackTransaction: async () => refuse(),
  releaseConnection: async () => {},
  destroy: async () => refuse(),
});

const noConnection: ConnectionProvider = Object.freeze({ provideConnection: async () => refuse() });

/** Narrows, compiles and runs; there is no way to get an executor from it that does not narrow. */
class HandleExecutor extends DefaultQueryExecutor {
  readonly #run: Run;
  readonly #narrowing: Narrowing | undefined;
  open = true;

  constructor({ compiler, adapter }: Language, run: Run, narrowing: Narrowing | undefined) {
    super(compiler, adapter, noConnection);
    this.#run = run;
    this.#narrowing = narrowing;
  }

  override transformQuery<T extends RootOperationNode>(node: T, _queryId: QueryId): T {
    return this.#narrowing === undefined ? node : this.#narrowing.narrow(node);
  }

  override async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (!this.open) throw new StoreMisuse('this handle has ended: await every query before its function returns');
    this.#narrowing?.check(query.query);
    return (await this.#run(query)) as QueryResult<R>;
  }

  override withoutPlugins(): this {
    return this;
  }

  override withPlugin(): DefaultQueryExecutor {
    return refuse();
  }

  override withPlugins(): DefaultQueryExecutor {
    return refuse();
  }

  override withPluginAtFront(): DefaultQueryExecutor {
    return refuse();
  }

  override withConnectionProvider(): DefaultQueryExecutor {
    return refuse();
  }
}

/** A class, for one is made in every read: an object with a getter of its own costs as much as all the rest of it. */
class OneHandle implements Handle {
  readonly db: Kysely<Schema>;
  readonly #executor: HandleExecutor;

  constructor(db: Kysely<Schema>, executor: HandleExecutor) {
    this.db = db;
    this.#executor = executor;
  }

  get open(): boolean {
    return this.#executor.open;
  }

  close(): void {
    this.#executor.open = false;
  }
}

/** Makes handles in one language, whose queries go through `run`, narrowed by `narrowing`. */
export function handlesIn(language: Language): (run: Run, narrowing: Narrowing | undefined) => Handle {
  const dialect: Dialect = Object.freeze({
    createAdapter: () => language.adapter,
    createDriver: () => driver,
    createIntrospector: language.introspector,
    createQueryCompiler: () => language.compiler,
  });
  const config = Object.freeze({ dialect });
  return (run, narrowing) => {
    const executor = new HandleExecutor(language, run, narrowing);
    return new OneHandle(new Kysely<Schema>({ config, dialect, driver, executor }), executor);
  };
}
