/**
 * A process that is after the same single-use values as others, on the store that `CONTENDER` (JSON) names. It reads lines
 * `[number, verb, key, more]` and answers `[number, outcome]`: `won`, `lost`, `refused:<code>` or `failed: <words>`.
 */
import { createInterface } from 'node:readline';
import { isFault, type OrganizationId, Secret, silentLog, systemClock } from '#kernel';
import { isUniqueViolation, openStore, type Store, type StoreOptions, spend as spendValue } from '#store';
import { spend } from '../../src/identity/prove.ts';

export interface ContenderOptions {
  readonly home: string;
  readonly name: string;
  readonly ephemera: 'sql' | 'redis';
  readonly database?: NonNullable<StoreOptions['database']>;
  readonly redis?: { readonly url: string; readonly commandTimeout: number; readonly failoverTimeout: number };
}

const life = 600_000;
const hour = 3_600_000;
const skew = 5_000;
const { home, name, ephemera, database, redis } = JSON.parse(process.env.CONTENDER ?? '{}') as ContenderOptions;
const organization = 'org_contended' as OrganizationId;

const store = await openStore({
  home,
  ephemera,
  ...(database === undefined ? {} : { database }),
  ...(redis === undefined ? {} : { redis: { ...redis, url: new Secret(redis.url), connectTimeout: 2_000, prefix: 'contended:' } }),
  clock: systemClock,
  log: silentLog,
});
await store.migrate();
const scope = store.records.platform('contended in a test');

type Verb = (store: Store, key: string, more: number) => Promise<boolean>;

/** Each is true for exactly one caller. */
const verbs: Readonly<Record<string, Verb>> = {
  /** Lays a code, and the row that a lease guards. */
  async lay({ ephemera: short }, key) {
    await scope.write(({ db }) => db.insertInto('platform_facts').values({ name: key, value: '', version: 1 }).execute());
    await short.put(`code:${key}`, 'value', life);
    return true;
  },
  /** Takes the code, and makes something of it. */
  async code({ ephemera: short }, key) {
    if ((await short.take(`code:${key}`)) === undefined) return false;
    const now = Date.now();
    const made = { kind: 'oauth_state' as const, value: key, made: name, now, expiresAt: now + hour };
    return await scope.write((tx) => spendValue(tx, made)).then(() => true, lostOn);
  },
  /** Gets the lease, and writes what it is the lease of, if nobody did meanwhile. */
  async lease({ ephemera: short }, key) {
    if (!(await short.claim(`lease:${key}`, name, life))) return false;
    const written = await scope.write(({ db }) =>
      db.updateTable('platform_facts').set({ value: name, version: 2 }).where('name', '=', key).where('version', '=', 1).executeTakeFirst(),
    );
    return Number(written.numUpdatedRows) === 1;
  },
  /** Uses a proof that was made at the time `more`, as the server would. */
  async proof({ ephemera: short }, jti, issuedAt) {
    const now = Date.now();
    if (issuedAt > now + skew || now > issuedAt + 60_000 + skew) return false;
    await spend({ ephemera: short, clock: systemClock, directory: undefined as never }, organization, 'did:key:test', {
      jti,
      issuedAt,
    });
    return true;
  },
  /** Writes a row that must be there whenever somebody looks. */
  async note(_store, key) {
    await scope.write(({ db }) =>
      db
        .insertInto('platform_facts')
        .values({ name: `note:${key}`, value: name, version: 1 })
        .execute(),
    );
    return true;
  },
  async noted(_store, key) {
    const row = await scope.read(({ db }) =>
      db.selectFrom('platform_facts').select('name').where('name', '=', `note:${key}`).executeTakeFirst(),
    );
    return row !== undefined;
  },
};

function lostOn(error: unknown): false {
  if (isUniqueViolation(error)) return false;
  throw error;
}

async function outcomeOf(verb: string, key: string, more: number): Promise<string> {
  try {
    return (await (verbs[verb] as Verb)(store, key, more)) ? 'won' : 'lost';
  } catch (error) {
    if (isFault(error, 'proof_replayed')) return 'lost';
    if (isFault(error) && error.row.status === 503) return `refused:${error.code}`;
    return `failed: ${String(error)}`;
  }
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [number, verb, key, more] = JSON.parse(line) as [number, string, string, number];
  void outcomeOf(verb, key, more).then((outcome) => process.stdout.write(`${JSON.stringify([number, outcome])}\n`));
}
process.exit(0);
