import type { AddressInfo, Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { type TestAuthority, testAuthority } from '../../../test/support/certificates.ts';
import { type Talk, talk } from './harness.ts';

/** A TLS upstream whose every byte a test writes itself. */
export interface RawUpstream {
  readonly port: number;
  readonly authority: TestAuthority;
  /** Connections in the order they came. */
  readonly peers: Talk<TLSSocket>[];
  close(): Promise<void>;
}

/** `onHead` is called for each connection once a whole head has come, again after each `take`. */
export async function rawUpstream(onHead: (peer: Talk<TLSSocket>, head: string, nth: number) => void): Promise<RawUpstream> {
  const authority = testAuthority('test');
  const peers: Talk<TLSSocket>[] = [];
  let nth = 0;
  const server = createServer({ ...authority.issue('api.test') }, (socket) => {
    const peer = talk(socket);
    peers.push(peer);
    socket.on('error', () => {});
    const next = async () => {
      const text = await peer.until('\r\n\r\n');
      if (!text.includes('\r\n\r\n')) return;
      peer.take();
      onHead(peer, text, nth++);
      void next();
    };
    void next();
  });
  // Also those whose handshake is not over: the server would wait for them.
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    authority,
    peers,
    close: () => {
      for (const { socket } of peers) socket.destroy();
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
