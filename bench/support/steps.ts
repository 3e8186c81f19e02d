import type { OrganizationId } from '#kernel';
import type { Store } from '#store';
import { type EventRow, insertEvent, selectHead, updateHead } from '../../src/audit/events.sql.ts';

/** What a store is asked on hot paths, as ours or a driver alone does it. */
export interface Steps {
  get(key: string): unknown;
  put(key: string, value: string, ttl: number): unknown;
  claim(key: string, value: string, ttl: number): unknown;
  take(key: string): unknown;
  drop(key: string, value: string): unknown;
  bump(key: string, ttl: number): unknown;
  readSealed(key: string): unknown;
  replaceSealed(key: string, envelope: Uint8Array, expected: number): unknown;
}

/** A chain of events, by its organization and writer. */
export interface Chain {
  readonly organization: OrganizationId;
  readonly writer: string;
}

/** Where Records lie too. */
export interface SqlSteps extends Steps {
  /** The head of a chain. */
  head(chain: Chain): unknown;
  /** In one transaction: reads the head, appends the events, moves the head. */
  append(chain: Chain, events: readonly EventRow[]): unknown;
}

export function stepsOf({ ephemera, sealed, records }: Store): SqlSteps {
  const scope = records.platform('bench');
  const { get, put, claim, take, drop, bump } = ephemera;
  return {
    ...{ get, put, claim, take, drop, bump },
    readSealed: (key) => sealed.get(key),
    replaceSealed: (key, envelope, expected) => sealed.put(key, envelope, expected),
    head: (chain) => scope.read((tx) => selectHead(tx, chain)),
    append: (chain, events) =>
      scope.write(async (tx) => {
        await selectHead(tx, chain);
        await insertEvent.each(tx, events);
        await updateHead(tx, movedBy(chain, events));
      }),
  };
}

/** How the head of a chain moves with these events at its end. */
export function movedBy(chain: Chain, events: readonly EventRow[]) {
  const [first, last] = [events[0] as EventRow, events.at(-1) as EventRow];
  return { ...chain, sequence: first.sequence - 1, to: last.sequence, hash: last.hash };
}

export function hasRecords(steps: Steps): steps is SqlSteps {
  return 'append' in steps;
}
