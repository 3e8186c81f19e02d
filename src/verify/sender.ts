import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '#kernel';
import { type DpopProof, dpopFlaw, dpopLeft, readDpopProof } from '#oauth';
import type { Confirmation } from './access-token.ts';
import type { RefusalName } from './challenge.ts';
import type { DpopOptions, Presented, ReplayMarks } from './contract.ts';

/** How the token came. */
export interface Credentials {
  readonly scheme: 'Bearer' | 'DPoP';
  readonly text: string;
}

/** Judges whether who sends a token is who it was given to. */
export interface Senders {
  /** Why not, or undefined. A good proof is spent by it. */
  flaw(presented: Presented, credentials: Credentials, confirmation: Confirmation): Promise<RefusalName | undefined>;
  /** The nonce that the next proof must hold, where one is asked for. */
  nonce(): string | undefined;
}

export interface SenderOptions extends DpopOptions {
  /** Where the URLs of the resource begin. */
  readonly origin: string;
  readonly requireBinding: boolean;
  readonly clock: Clock;
}

/** How long a nonce is handed out, milliseconds; the one before it is good for as long. */
const nonceLife = 60_000;

export function createSenders(options: SenderOptions): Senders {
  const { clock } = options;
  const marks = options.replays ?? createReplayMarks(clock);
  const nonces = options.nonce === undefined || options.nonce === false ? undefined : createNonces(options.nonce, clock);

  async function proofFlaw(presented: Presented, { text }: Credentials, jkt: string): Promise<RefusalName | undefined> {
    const { dpop } = presented.headers;
    const now = clock.now();
    // Also where two came: they are joined by a comma, which no proof holds (RFC 9449 §4.3, 1).
    const proof = typeof dpop === 'string' ? await readDpopProof(dpop, now) : undefined;
    if (proof === undefined || proof.jkt !== jkt) return 'invalid_dpop_proof';
    const target = URL.canParse(presented.url, options.origin) ? new URL(presented.url, options.origin).href : '';
    if (dpopFlaw(proof, { method: presented.method, targets: [target], accessToken: text, now }) !== undefined) return 'invalid_dpop_proof';
    if (nonces !== undefined && !nonces.holds(proof.nonce)) return 'use_dpop_nonce';
    return (await marks.claim(markOf(proof), dpopLeft(proof, now))) ? undefined : 'invalid_dpop_proof';
  }

  return Object.freeze({
    async flaw(presented: Presented, credentials: Credentials, { jkt, x5t }: Confirmation) {
      if (jkt === undefined && x5t === undefined && options.requireBinding) return 'invalid_token';
      // A token that is bound to a key comes with its proof or not at all (RFC 9449 §7.2), and no other comes as one.
      if ((jkt === undefined) !== (credentials.scheme === 'Bearer')) return 'invalid_token';
      if (x5t !== undefined && !certificateHolds(presented.certificate, x5t)) return 'invalid_token';
      return jkt === undefined ? undefined : proofFlaw(presented, credentials, jkt);
    },
    nonce: () => nonces?.now(),
  });
}

/** RFC 8705 §3. */
function certificateHolds(certificate: Uint8Array | undefined, x5t: string): boolean {
  return certificate !== undefined && createHash('sha256').update(certificate).digest('base64url') === x5t;
}

function markOf({ htu, jti }: DpopProof): string {
  return createHash('sha256').update(`${htu} ${jti}`).digest('base64url');
}

/** Proofs remembered at once. */
const mostMarks = 200_000;
const sweepEvery = 10_000;

/**
 * Marks in this process: enough where one serves a resource. Where more come than can be remembered, no proof is taken until some of
 * them are too old to come again.
 */
export function createReplayMarks(clock: Clock): ReplayMarks {
  const marks = new Map<string, number>();
  let sweptAt = Number.NEGATIVE_INFINITY;

  function sweep(now: number): void {
    if (now - sweptAt < sweepEvery) return;
    sweptAt = now;
    for (const [key, until] of marks) if (until <= now) marks.delete(key);
  }

  return Object.freeze({
    claim(key: string, life: number) {
      const now = clock.monotonic();
      sweep(now);
      if ((marks.get(key) ?? Number.NEGATIVE_INFINITY) > now || marks.size >= mostMarks) return false;
      marks.set(key, now + life);
      return true;
    },
  });
}

/** Nonces that are stored nowhere: the same in every process that has the secret, and nobody's to foretell (RFC 9449 §9). */
function createNonces(given: true | { readonly secret: string }, clock: Clock) {
  const secret = given === true ? randomBytes(32) : createHash('sha256').update(given.secret).digest();
  const slot = () => Math.floor(clock.now() / nonceLife);
  const of = (at: number) => createHmac('sha256', secret).update(`dpop nonce ${at}`).digest('base64url');
  return {
    now: () => of(slot()),
    holds(nonce: string | undefined): boolean {
      if (nonce === undefined) return false;
      const at = slot();
      return [at, at - 1, at + 1].some((one) => same(of(one), nonce));
    },
  };
}

function same(one: string, other: string): boolean {
  const [mine, theirs] = [Buffer.from(one), Buffer.from(other)];
  return mine.length === theirs.length && timingSafeEqual(mine, theirs);
}
