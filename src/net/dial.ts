import { connect, type Socket } from 'node:net';
import { Fault } from '#kernel';
import type { DialOptions, Judged } from './contract.ts';
import type { Address } from './resolve.ts';

/** The next address is tried when the one before has not answered for so long (RFC 8305 §5). */
const patience = 250;

/** Tries the addresses in turn, families interleaved; the first that connects is taken, the others are dropped. */
export function dialAny(judged: Judged, options: DialOptions): Promise<Socket> {
  const waiting = interleaved(judged.addresses);
  return new Promise<Socket>((resolve, reject) => {
    const trying = new Set<Socket>();
    let cause: unknown;
    let next: NodeJS.Timeout | undefined;
    const settle = (act: () => void, keep?: Socket) => {
      clearTimeout(next);
      clearTimeout(deadline);
      options.signal?.removeEventListener('abort', cancel);
      for (const socket of trying) if (socket !== keep) socket.destroy();
      trying.clear();
      act();
    };
    const cancel = () => settle(() => reject(new Fault('cancelled')));
    const deadline = setTimeout(() => settle(() => reject(new Fault('upstream_timeout'))), options.timeout);
    const tryNext = () => {
      clearTimeout(next);
      const address = waiting.shift();
      if (!address) {
        if (trying.size === 0) settle(() => reject(new Fault('upstream_unreachable', { cause })));
        return;
      }
      const socket = open(address, judged.port);
      trying.add(socket);
      socket.once('connect', () => {
        socket.removeAllListeners('error');
        settle(() => resolve(socket), socket);
      });
      socket.on('error', (error) => {
        cause = error;
        if (trying.delete(socket)) tryNext();
      });
      if (waiting.length > 0) next = setTimeout(tryNext, patience);
    };
    if (options.signal?.aborted) return cancel();
    options.signal?.addEventListener('abort', cancel, { once: true });
    tryNext();
  });
}

function open({ address, family }: Address, port: number): Socket {
  const socket = connect({ host: address, port, family, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 });
  return socket;
}

/** Families take turns, beginning with the one the resolver put first (RFC 8305 §4). */
function interleaved(addresses: readonly Address[]): Address[] {
  const first = addresses.filter((one) => one.family === addresses[0]?.family);
  const other = addresses.filter((one) => one.family !== addresses[0]?.family);
  return first.flatMap((one, at) => (other[at] ? [one, other[at]] : [one])).concat(other.slice(first.length));
}
