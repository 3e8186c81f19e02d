import { hash } from 'node:crypto';

/** What a chain begins from: no hash is before the first. */
export const origin: Uint8Array = new Uint8Array(32);

/** Where a chain stands. */
export interface Head {
  readonly sequence: number;
  readonly hash: Uint8Array;
}

export const emptyChain: Head = Object.freeze({ sequence: 0, hash: origin });

let scratch = Buffer.alloc(16 * 1024);

/** The hash of the next event: SHA-256 over the hash before it and its body. */
export function link(previous: Uint8Array, body: string): Uint8Array {
  const most = previous.length + body.length * 3;
  if (most > scratch.length) scratch = Buffer.alloc(most);
  scratch.set(previous);
  const end = previous.length + scratch.write(body, previous.length);
  return hash('sha256', scratch.subarray(0, end), 'buffer');
}
