import { type Clock, Fault, isFault } from '#kernel';
import type { IssuerSide } from './issuer-side.ts';
import type { KeySet } from './key-set.ts';

/** What has ended at the issuer: exact, in this process, a second old at most while all is well (SECURITY 16). */
export interface Ended {
  /** Waits, where what is known is too old, for what is asked just now. @throws {Fault} `stale_revocations` when that fails */
  fresh(): Promise<void> | undefined;
  /** Whether one of these parents has ended, by name, or their organization is in another epoch. */
  any(names: readonly string[], organizationEpoch: unknown): boolean;
  close(): void;
}

/** What is older refuses everything, milliseconds. */
const stalest = 3_000;
/** How long the issuer is asked to wait for news, and how long for its answer at most. */
const patience = 1_000;
const timeout = 2_500;
/** Between an answer without news, or a failure, and the next question. */
const pause = 250;
/** Without a request for so long, nobody asks any more. */
const idle = 60_000;

/** An answer of the issuer, as it is documented in `docs/issuing.md`. */
interface Told {
  readonly epoch: number;
  readonly whole: boolean;
  readonly more: boolean;
  readonly cursor: string;
  readonly ended: readonly (readonly [string, number])[];
  readonly keys: readonly string[];
  readonly held: number;
  readonly age: number;
}

export function createEnded(issuer: IssuerSide, keys: KeySet, clock: Clock): Ended {
  let names = new Map<string, number>();
  let cursor: string | undefined;
  let epoch: number | undefined;
  /** As of when everything is known, monotonic. */
  let knownAt = Number.NEGATIVE_INFINITY;
  let usedAt = Number.NEGATIVE_INFINITY;
  let failedAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const old = () => clock.monotonic() - knownAt > stalest;

  /** One question. Where much is still to be told, or nothing is known yet, it is answered without waiting. */
  async function ask(): Promise<{ readonly news: boolean }> {
    const { endings } = await issuer.metadata();
    const began = clock.monotonic();
    const query = cursor === undefined ? '' : `?after=${cursor}&wait=${old() ? 0 : patience}`;
    const told = read(await issuer.json(endings + query, { timeout }));
    if (told.whole) {
      // Nothing is known until the last page of it.
      names = new Map();
      knownAt = Number.NEGATIVE_INFINITY;
    }
    for (const [name, until] of told.ended) names.set(name, until);
    ({ cursor, epoch } = told);
    keys.counting(new Set(told.keys));
    forget();
    const took = clock.monotonic() - began;
    // Only what the issuer knew when it answered counts, and it answered no later than it waited.
    if (!told.more) knownAt = began + Math.min(told.held, took) - told.age;
    if (!told.more && old()) throw new Fault('stale_revocations');
    return { news: told.more || told.ended.length > 0 || told.held > patience / 2 };
  }

  /** Names stay a minute longer than the issuer asks, for the sake of clocks. */
  function forget(): void {
    const passed = clock.now() / 1000 - 60;
    for (const [name, until] of names) if (until < passed) names.delete(name);
  }

  function askAgain(): Promise<void> {
    clearTimeout(timer);
    asking ??= ask()
      .catch((cause: unknown) => {
        failedAt = clock.monotonic();
        // It may be the place to go on from that was not understood.
        if (isFault(cause, 'upstream_invalid')) cursor = undefined;
        return { news: false };
      })
      .then(({ news }) => {
        asking = undefined;
        if (closed || clock.monotonic() - usedAt > idle) return;
        timer = setTimeout(() => void askAgain(), news ? 0 : pause);
        // A process that has nothing else to do may end.
        timer.unref();
      });
    return asking;
  }

  /** Asks until everything is known, or a question fails; right after that, nobody asks. */
  async function catchUp(): Promise<void> {
    while (old() && !closed && (asking !== undefined || clock.monotonic() - failedAt > pause)) await askAgain();
    if (old()) throw new Fault('stale_revocations');
  }

  return Object.freeze({
    fresh() {
      usedAt = clock.monotonic();
      return old() ? catchUp() : undefined;
    },
    any: (parents: readonly string[], organizationEpoch: unknown) => organizationEpoch !== epoch || parents.some((name) => names.has(name)),
    close() {
      closed = true;
      clearTimeout(timer);
    },
  });
}

/** @throws {Fault} `upstream_invalid` for what cannot be understood: then nothing of it counts */
function read(answer: Readonly<Record<string, unknown>>): Told {
  const { epoch, whole, more, cursor, ended, keys, held, age } = answer;
  const numbers = [epoch, held, age].every((value) => typeof value === 'number' && value >= 0);
  const flags = typeof whole === 'boolean' && typeof more === 'boolean';
  const named =
    Array.isArray(ended) && ended.every((pair) => Array.isArray(pair) && typeof pair[0] === 'string' && typeof pair[1] === 'number');
  const kids = Array.isArray(keys) && keys.every((kid) => typeof kid === 'string');
  if (!numbers || !flags || !named || !kids || typeof cursor !== 'string' || !/^[\w.]{1,64}$/.test(cursor))
    throw new Fault('upstream_invalid', { detail: 'The issuer answered in words that are not known here' });
  return answer as unknown as Told;
}
