import type { Confirmation } from './contract.ts';

const members = ['jkt', 'x5t#S256'] as const;

/** Whether every key that something is bound to, if it is, was shown. */
export function keyShown(bound: Confirmation | undefined, shown: Confirmation | undefined): boolean {
  return members.every((member) => bound?.[member] === undefined || bound[member] === shown?.[member]);
}

export function sameKey(one: Confirmation | undefined, other: Confirmation | undefined): boolean {
  return members.every((member) => one?.[member] === other?.[member]);
}
