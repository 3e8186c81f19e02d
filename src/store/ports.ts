import type { Kysely } from 'kysely';
import type { OrganizationId } from '#kernel';
import type { Schema } from './schema.ts';
import type { Standing } from './standing.ts';

/** What a change can be about. One counter each; every replica learns of a bump within a second. */
export const topics = ['identity', 'policy', 'connections', 'providers', 'keys', 'revocations', 'settings', 'issuing', 'grants'] as const;
export type Topic = (typeof topics)[number];

/** A handle inside `read`. Valid only until `fn` returns. Only this handle's own queries may be awaited in `fn`. */
export interface Reading {
  readonly db: Kysely<Schema>;
  /** Whose rows it reaches; undefined: the platform's. */
  readonly organization: OrganizationId | undefined;
}

/** A handle inside `write`: one transaction, which may be retried from the start. `fn` has no other effect. */
export interface Writing extends Reading {
  /** Raises the topic's generation in this transaction; watchers are told after COMMIT, and only then. */
  bump(topic: Topic): Promise<void>;
}

export interface Scope {
  /** Each query sees what was committed last; two queries of one `fn` may see different states. */
  read<T>(fn: (tx: Reading) => Promise<T>): Promise<T>;
  /** Resolves only after COMMIT (group commit: neighbours share one transaction, a savepoint each). */
  write<T>(fn: (tx: Writing) => Promise<T>): Promise<T>;
}

/** Rows that must be listed or must survive a flush. */
export interface Records {
  /**
   * One organization's rows. Every select, update and delete on a table with `organization_id` is narrowed to it,
   * and every insert must carry it, by the store, not by the caller.
   */
  in(organization: OrganizationId): Scope;
  /** Rows of the platform or of many organizations. The call sites are listed by a test. */
  platform(reason: string): Scope;
  /** The reasons given so far. */
  reasons(): readonly string[];
}

/**
 * What is found only by its key and dies by itself. Six verbs, each atomic, each on one key; where it is kept elsewhere and
 * cannot be reached they throw `unavailable`, and nothing stands in for it. `ttl` in milliseconds,
 * positive integers only (anything else throws a RangeError, as do an empty key or one over 512 bytes of UTF-8).
 * Values are strings of at most 64 KiB in UTF-8.
 */
export interface Ephemera {
  get(key: string): Promise<string | undefined>;
  /** Sets the value and its life, whatever was there. */
  put(key: string, value: string, ttl: number): Promise<void>;
  /** Exactly one caller gets true while the key lives. `value` names the owner, for `drop`. */
  claim(key: string, value: string, ttl: number): Promise<boolean>;
  /** Exactly one caller gets the value; the key is gone. */
  take(key: string): Promise<string | undefined>;
  /** Removes the key if it holds this value; true if it did. */
  drop(key: string, value: string): Promise<boolean>;
  /** Each caller gets its own number, from 1. The window starts with the first bump and does not slide. */
  bump(key: string, ttl: number): Promise<number>;
  /**
   * Wall time before which marks under such a key may have been lost; 0: none ever is. Asked after a claim: a claim proves
   * that something was not used before only if that something was made later (SECURITY 14).
   */
  since(key: string): Promise<number>;
  /** Removes expired keys in small batches; returns how many. Never needed for correctness. */
  sweep(): Promise<number>;
  /** Milliseconds the round trip took. */
  ping(): Promise<number>;
  close(): Promise<void>;
}

/** Ciphertext by key, with compare-and-set. */
export interface SealedStore {
  get(key: string): Promise<SealedEntry | undefined>;
  /** Writes if the stored version is `expected` (0: absent); the new version is `expected + 1`. False: somebody else won. */
  put(key: string, envelope: Uint8Array, expected: number): Promise<boolean>;
  /** Removes if the stored version is `expected`. */
  remove(key: string, expected: number): Promise<boolean>;
  /** Keys that start with `prefix`, in order, after the key `after`. */
  list(prefix: string, page: { readonly after?: string; readonly limit: number }): Promise<readonly string[]>;
}

export interface SealedEntry {
  readonly envelope: Uint8Array;
  readonly version: number;
}

/** Milliseconds after which a process that has not learnt what ended refuses everything (compare with `Changes.age`). */
export const stalest = 3_000;

/** Tells what changed, to this process at once and to every other by polling (and push, where the backend has one). */
export interface Changes {
  /** Calls `listener` after every change of the topic, with its generation. Returns how to stop. */
  watch(topic: Topic, listener: (generation: number) => void): () => void;
  /** The latest generation this process knows. */
  generation(topic: Topic): number;
  /** Milliseconds (monotonic) since the last completed poll began; Infinity before the first. Over `stalest`: refuse everything. */
  age(): number;
}

/** A server that a store stands on. */
export interface StoreServer {
  readonly host: string;
  readonly port: number;
}

/** Which migrations a database has, and what else lies in it. */
export interface SchemaState {
  readonly applied: readonly { readonly name: string; readonly appliedAt: number }[];
  /** What this program would add. */
  readonly pending: readonly string[];
  /** What only a newer program knows. */
  readonly newer: readonly string[];
  /** Tables that are not ours. */
  readonly foreign: readonly string[];
}

export interface Store {
  readonly records: Records;
  readonly ephemera: Ephemera;
  readonly sealed: SealedStore;
  readonly changes: Changes;
  /** Brings the schema up to date. @throws {Fault} `store_foreign`, `store_newer` */
  migrate(): Promise<readonly string[]>;
  /** Takes the schema as it is. @throws {Fault} `store_outdated` when it lacks a migration; `store_foreign`, `store_newer` */
  checkSchema(): Promise<void>;
  schema(): Promise<SchemaState>;
  /** Milliseconds the round trip took. */
  ping(): Promise<number>;
  /**
   * Calls `listener` with every server that was met without being named in a URL (replicas, other sentinels, nodes of a
   * cluster), those met so far at once.
   */
  watchServers(listener: (server: StoreServer) => void): void;
  /** True when no row was ever written (a key file may be made only then: SECURITY 20). */
  isEmpty(): Promise<boolean>;
  /** Empties the log of a database in files, holding up nobody; undefined where a server does that itself. For a job. */
  checkpoint(): Promise<{ readonly pages: number; readonly truncated: boolean } | undefined>;
  /** Why it may not be served; undefined: it may. */
  standing(): Promise<Standing | undefined>;
  close(): Promise<void>;
}
