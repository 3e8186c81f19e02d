import type { Confirmation } from './contract.ts';

/** Whether the key that something is bound to, if it is, was shown. */
export function keyShown(bound: Confirmation | undefined, shown: Confirmation | undefined): boolean {
  return bound === undefined || sameKey(bound, shown);
}

export function sameKey(one: Confirmation | undefined, other: Confirmation | undefined): boolean {
  return one?.jkt === other?.jkt;
}
