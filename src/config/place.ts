import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** Where a process runs: on which machine, and as which of its users. */
export interface Place {
  /** The same for every process of one machine, also in its containers; says nothing else about it. */
  readonly machine: string;
  /** Absent where users have no numbers, and of a server whose users a namespace counts. */
  readonly user?: number | undefined;
}

export function placeOfThisProcess(): Place {
  const machine = createHash('sha256').update(`gatehouse machine ${bootOf()}`).digest('hex').slice(0, 32);
  const user = process.getuid?.();
  return user === undefined ? { machine } : { machine, user: userOutside(user, textOf('/proc/self/uid_map')) };
}

/** Where this process runs, as it says to others that it is a server. */
export function placeOfThisServer(): Place {
  return asServer(placeOfThisProcess(), textOf('/proc/self/uid_map'));
}

/**
 * Without its user where a namespace counts users: whoever made that may become any of them, and one inside another is
 * counted from the one around it, not from the machine.
 */
export function asServer(place: Place, map: string): Place {
  return /^(0\s+0\s+4294967295)?$/.test(map.trim()) ? place : { machine: place.machine };
}

/** Whether who runs as `own` cannot read what a server keeps that runs at `theirs`: root reads everything. */
export function isApart(theirs: Place, own: Place): boolean {
  if (theirs.machine !== own.machine) return true;
  return theirs.user !== undefined && own.user !== undefined && own.user !== 0 && theirs.user !== own.user;
}

/** One kernel, one boot: containers share it. Elsewhere the name has to do; two machines of one name count as one. */
function bootOf(): string {
  return textOf('/proc/sys/kernel/random/boot_id').trim() || hostname();
}

/** A user of a namespace, as the machine counts them (user_namespaces(7), uid_map: inside, outside, how many). */
export function userOutside(user: number, map: string): number {
  for (const line of map.split('\n')) {
    const [inside = Number.NaN, outside = Number.NaN, count = 0] = line.trim().split(/\s+/).map(Number);
    if (user >= inside && user < inside + count) return outside + user - inside;
  }
  return user;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
