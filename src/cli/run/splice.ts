import type { Duplex } from 'node:stream';

/** Joins two byte streams with back-pressure. Half-closing passes through; a broken side breaks the other. */
export function splice(near: Duplex, far: Duplex): void {
  near.pipe(far);
  far.pipe(near);
  breakTogether(near, far);
  breakTogether(far, near);
}

function breakTogether(one: Duplex, other: Duplex): void {
  one.on('error', () => other.destroy());
  one.once('close', () => {
    if (!one.readableEnded || !other.readableEnded) other.destroy();
  });
}

/** Reads until the empty line that ends an HTTP head; the rest stays unread. Undefined: it ended or grew too long before. */
export function readHead(stream: Duplex, limit = 64 * 1024): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let seen: Buffer = Buffer.alloc(0);
    const finish = (head: Buffer | undefined) => {
      stream.off('readable', take);
      stream.off('end', gone);
      stream.off('close', gone);
      resolve(head);
    };
    const gone = () => finish(undefined);
    const take = () => {
      for (let part = stream.read() as Buffer | null; part !== null; part = stream.read() as Buffer | null) {
        seen = Buffer.concat([seen, part]);
        const end = seen.indexOf('\r\n\r\n');
        if (end < 0 && seen.length <= limit) continue;
        if (end < 0) return finish(undefined);
        if (seen.length > end + 4) stream.unshift(seen.subarray(end + 4));
        return finish(seen.subarray(0, end + 4));
      }
    };
    stream.on('readable', take);
    stream.once('end', gone);
    stream.once('close', gone);
    take();
  });
}
