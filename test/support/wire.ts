import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll } from 'vitest';

/** A way to a server on loopback that a test can spoil. */
export interface Wire {
  readonly port: number;
  /** The same URL, over this wire. */
  over(url: string): string;
}

export interface Spoiled {
  /** What a client sends on a connection that is to be spoiled. */
  readonly sign: RegExp;
  /** `mute`: from then on it hears nothing, and notices nothing. `cut`: it is closed, every time. */
  readonly effect: 'mute' | 'cut';
}

const servers = new Set<Server>();
const sockets = new Set<Socket>();

afterAll(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

/** Passes on what comes and goes, but for connections that bear the sign. */
export async function spoiledWire(target: number, { sign, effect }: Spoiled): Promise<Wire> {
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => [client, upstream].forEach((one) => void one.destroy()));
    }
    let muted = false;
    client.on('data', (chunk) => {
      const found = sign.test(chunk.toString('latin1'));
      if (found && effect === 'cut') return void client.destroy();
      upstream.write(chunk);
      muted ||= found;
    });
    upstream.on('data', (chunk) => muted || client.write(chunk));
  });
  servers.add(server);
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { readonly port: number }).port)),
  );
  const over = (url: string) => {
    const own = new URL(url);
    own.port = String(port);
    return own.href;
  };
  return { port, over };
}
