/** What a frame says, by its first byte. The opening side numbers streams 1, 2, 3, … */
export const frameKinds = { open: 1, accept: 2, data: 3, end: 4, reset: 5, credit: 6, ping: 7, pong: 8 } as const;
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

/** The longest payload that either side sends or takes. */
export const largestPayload = 64 * 1024;
const headSize = 9;

export interface Frame {
  readonly kind: FrameKind;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Kind, number of the stream, length of what follows; big-endian. */
export function frameHead(kind: FrameKind, stream: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(headSize);
  head[0] = kind;
  head.writeUInt32BE(stream, 1);
  head.writeUInt32BE(length, 5);
  return head;
}

/** How many more bytes the other side may send; the whole payload of `credit`. */
export function creditPayload(bytes: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(bytes, 0);
  return payload;
}

const known: ReadonlySet<number> = new Set(Object.values(frameKinds));

/** Cuts bytes into frames. `push` returns those that are whole, or undefined when the peer does not speak this protocol. */
export function frameReader(): { push(part: Buffer): readonly Frame[] | undefined } {
  let rest: Buffer = Buffer.alloc(0);
  return {
    push(part) {
      const bytes = rest.length === 0 ? part : Buffer.concat([rest, part]);
      const frames: Frame[] = [];
      let at = 0;
      while (bytes.length - at >= headSize) {
        const kind = bytes[at] as number;
        const length = bytes.readUInt32BE(at + 5);
        if (!known.has(kind) || length > largestPayload) return undefined;
        if (bytes.length - at < headSize + length) break;
        const payload = bytes.subarray(at + headSize, at + headSize + length);
        frames.push({ kind: kind as FrameKind, stream: bytes.readUInt32BE(at + 1), payload });
        at += headSize + length;
      }
      rest = bytes.subarray(at);
      return frames;
    },
  };
}
