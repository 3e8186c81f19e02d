import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { Algorithm } from '@node-rs/argon2';
import { Fault, Secret } from '#kernel';
import { isPlausible, normalPassword } from './password-rules.ts';

/** Argon2id, 19 MiB, two passes, one lane. */
const cost = { algorithm: 2 satisfies Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

export interface PasswordLimits {
  /** Hashes at once. */
  readonly atOnce: number;
  /** Hashes that may wait; one more is refused. */
  readonly waiting: number;
}

export interface Passwords {
  /** PHC form. @throws {Fault} `busy` */
  hash(password: Secret<string>): Promise<string>;
  /** Against a stored hash; without one, the same work for a sure no. @throws {Fault} `busy` */
  holds(stored: string | undefined, password: Secret<string>): Promise<boolean>;
}

/** Loaded by the first password: a server starts without one. */
const argon2 = () => import('@node-rs/argon2');

/** Hashes off the event loop. Three at most: the pool has four threads, and look-ups and files need one too. */
/** Of a service as a whole. */
export const usualPasswordLimits: PasswordLimits = Object.freeze({ atOnce: Math.min(availableParallelism(), 3), waiting: 64 });

export function createPasswords(limits: PasswordLimits = usualPasswordLimits): Passwords {
  const gate = createGate(limits);
  const nobody = unmatchable();
  return Object.freeze({
    hash: (password: Secret<string>) => gate(async () => (await argon2()).hash(normalPassword(password).reveal(), cost)),
    async holds(stored: string | undefined, password: Secret<string>) {
      const plausible = isPlausible(password) ? password : new Secret('');
      const same = await gate(async () => (await argon2()).verify(stored ?? nobody, normalPassword(plausible).reveal()));
      return same && stored !== undefined && plausible === password;
    },
  });
}

/** A hash of today's cost that was made from no password. */
function unmatchable(): string {
  const part = (bytes: number) => randomBytes(bytes).toString('base64').replace(/=+$/, '');
  return `$argon2id$v=19$m=${cost.memoryCost},t=${cost.timeCost},p=${cost.parallelism}$${part(16)}$${part(32)}`;
}

function createGate({ atOnce, waiting }: PasswordLimits) {
  let running = 0;
  const queue: (() => void)[] = [];

  return async function pass<T>(work: () => Promise<T>): Promise<T> {
    if (running < atOnce) running += 1;
    else if (queue.length < waiting) await new Promise<void>((go) => queue.push(go));
    else throw new Fault('busy', { retryAfter: 2 });
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
