import { Fault } from '#kernel';
import { ephemeraKey } from '#store';
import type { IssuerDeps } from './deps.ts';

/** Seconds between two polls, at first, and by how much each poll that came too early lengthens them (RFC 8628 §3.5, CIBA §11). */
export const pollInterval = 5;
/** A little early is not too early: a request may travel faster than the one before it. */
const forgiven = 1_000;

/**
 * Lets one poll through in each interval. One that comes earlier lengthens the interval by five seconds, for good, and begins it
 * anew. @throws {Fault} `polled_early`
 */
export async function keepPace({ ephemera }: IssuerDeps, requestHash: string, life: number): Promise<void> {
  const mark = ephemeraKey('rate', 'poll', requestHash);
  const early = ephemeraKey('rate', 'polled_early', requestHash);
  const times = Number((await ephemera.get(early)) ?? 0);
  if (await ephemera.claim(mark, '', pauseAfter(times))) return;
  await ephemera.put(mark, '', pauseAfter(await ephemera.bump(early, life)));
  throw new Fault('polled_early');
}

function pauseAfter(timesEarly: number): number {
  return (pollInterval + pollInterval * timesEarly) * 1_000 - forgiven;
}
