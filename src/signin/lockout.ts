import { emailKeyOf } from '#identity';
import { type Clock, Fault, type OrganizationId, type SessionId } from '#kernel';
import { countedAs } from '#net';
import { type Ephemera, ephemeraKey, isUniqueViolation, type Records, sha256, type Writing } from '#store';
import { deleteFailuresBefore, type Failures, failuresOf, forgetFailures, storeFailures } from './failures.sql.ts';

const minute = 60_000;
const day = 24 * 60 * minute;
/** Tries of one address at one account; the right password starts the count again. */
const triesOfOne = { most: 10, window: 15 * minute };
/** Tries of one address at any account. */
const triesOfAddress = { most: 200, window: 15 * minute };
/** Wrong passwords in a row at one account, from anywhere, before it is closed to passwords for a while. */
const inARow = 20;
const lockedFor = 15 * minute;

/** Around one password that is about to be judged. */
export interface Throttle {
  /** Counts the try before it is judged, so that parallel tries count too. @throws {Fault} `rate_limited` */
  admit(): Promise<void>;
  failed(): Promise<void>;
  /** Wrong ones before the right one no longer count. */
  passed(): Promise<unknown>;
}

/**
 * Slows guessing. Counters by address are Ephemera; the lock of an account is a Record, kept by the hash of the address
 * that was typed, so that an account that does not exist locks like one that does.
 */
export function createLockout(records: Records, ephemera: Ephemera, clock: Clock) {
  const accountOf = (email: string) => sha256(emailKeyOf(email));
  const oneKey = (organization: OrganizationId, account: string, address: string) =>
    ephemeraKey('rate', 'sign_in', organization, account, countedAs(address));

  async function count(key: string, limit: { most: number; window: number }): Promise<void> {
    if ((await ephemera.bump(key, limit.window)) > limit.most) throw new Fault('rate_limited', { retryAfter: limit.window / 1000 });
  }

  async function refuseLocked(organization: OrganizationId, account: string): Promise<void> {
    const known = await records.in(organization).read((tx) => failuresOf(tx, organization, account));
    const locked = (known?.locked_until ?? 0) - clock.now();
    if (locked > 0) throw new Fault('rate_limited', { retryAfter: Math.ceil(locked / 1000) });
  }

  async function remember(organization: OrganizationId, account: string): Promise<void> {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        if (await records.in(organization).write((tx) => countFailure(tx, organization, account))) return;
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
      }
    }
  }

  async function countFailure(tx: Writing, organization: OrganizationId, account: string): Promise<boolean> {
    const now = clock.now();
    const before = await failuresOf(tx, organization, account);
    const failures = before === undefined || now - before.failed_at > day ? 1 : before.failures + 1;
    const lock = failures >= inARow;
    const after: Omit<Failures, 'version'> = {
      failures: lock ? 0 : failures,
      failed_at: now,
      locked_until: lock ? now + lockedFor : (before?.locked_until ?? 0),
    };
    return storeFailures(tx, organization, account, before, after);
  }

  return Object.freeze({
    /** A sign-in from an address to an account. */
    ofAccount(organization: OrganizationId, email: string, address: string): Throttle {
      const account = accountOf(email);
      const key = oneKey(organization, account, address);
      return {
        async admit() {
          await count(ephemeraKey('rate', 'sign_in_address', countedAs(address)), triesOfAddress);
          await count(key, triesOfOne);
          await refuseLocked(organization, account);
        },
        failed: () => remember(organization, account),
        passed: () => ephemera.take(key),
      };
    },

    /** Who is signed in already and proves it again. Counted apart, so that strangers who lock an account do not lock its owner out of what is open. */
    ofSession(session: SessionId): Throttle {
      const key = ephemeraKey('rate', 'reauthenticate', session);
      return { admit: () => count(key, triesOfOne), failed: async () => undefined, passed: () => ephemera.take(key) };
    },

    forget: (tx: Writing, organization: OrganizationId, email: string) => forgetFailures(tx, organization, accountOf(email)),
    sweep: () => records.platform('sign-in failures of every organization').write((tx) => deleteFailuresBefore(tx, clock.now() - day)),
  });
}

export type Lockout = ReturnType<typeof createLockout>;
