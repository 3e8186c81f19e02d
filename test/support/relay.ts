import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './installation.ts';

/** A port in front of a server, which can be closed, opened, and made to hang. */
export interface Relay {
  readonly port: number;
  /** From now on somebody answers at the port. */
  open(): Promise<void>;
  /** What is connected stays so, and not a byte passes any more. */
  hang(): void;
  /** Nobody answers, and who was connected is cut. */
  close(): Promise<void>;
}

/** Nobody answers until it is opened. */
export async function makeRelay(to: { readonly host: string; readonly port: number }): Promise<Relay> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let hangs = false;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  };
  return {
    port,
    open: () =>
      new Promise((resolve) => {
        hangs = false;
        server = createServer((near) => {
          keep(near);
          if (hangs) return;
          const far = connect(to);
          keep(far);
          near.pipe(far).pipe(near);
        });
        server.listen(port, '127.0.0.1', resolve);
      }),
    hang() {
      hangs = true;
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        if (server === undefined) resolve();
        else server.close(() => resolve());
      }),
  };
}
