import { Duplex } from 'node:stream';

/** Two ends of one pipe inside this process: what is written to one is read from the other. */
export function duplexPair(): readonly [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const waiting: ((() => void) | undefined)[] = [undefined, undefined];
  const make = (own: number, other: number) =>
    new Duplex({
      allowHalfOpen: true,
      read() {
        const go = waiting[own];
        waiting[own] = undefined;
        go?.();
      },
      write(chunk, _encoding, done) {
        if (ends[other]?.push(chunk)) done();
        else waiting[other] = done;
      },
      final(done) {
        ends[other]?.push(null);
        done();
      },
      destroy(error, done) {
        const peer = ends[other];
        if (peer !== undefined && !peer.destroyed) process.nextTick(() => peer.destroy());
        done(error);
      },
    });
  ends.push(make(0, 1), make(1, 0));
  return [ends[0] as Duplex, ends[1] as Duplex];
}
