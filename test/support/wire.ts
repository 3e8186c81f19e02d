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

/** A way whose end can be moved, as an address moves from one server to another. */
export interface MovableWire extends Wire {
  /** From now on it leads elsewhere; what is open on it is cut. */
  move(target: number): void;
}

export async function movableWire(first: number): Promise<MovableWire> {
  let target = first;
  const open = new Set<Socket>();
  const wire = await listening((client) => {
    const upstream = connect(target, '127.0.0.1');
    join(client, upstream);
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('data', (chunk) => void upstream.write(chunk));
    upstream.on('data', (chunk) => void client.write(chunk));
  });
  return {
    ...wire,
    move(next) {
      target = next;
      for (const socket of open) socket.destroy();
    },
  };
}

/** Passes on what comes and goes, but for connections that bear the sign. */
export async function spoiledWire(target: number, { sign, effect }: Spoiled): Promise<Wire> {
  return await listening((client) => {
    const upstream = connect(target, '127.0.0.1');
    join(client, upstream);
    let muted = false;
    client.on('data', (chunk) => {
      const found = sign.test(chunk.toString('latin1'));
      if (found && effect === 'cut') return void client.destroy();
      upstream.write(chunk);
      muted ||= found;
    });
    upstream.on('data', (chunk) => muted || client.write(chunk));
  });
}

/** Two ends of which neither outlives the other. */
function join(client: Socket, upstream: Socket): void {
  for (const socket of [client, upstream]) {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => [client, upstream].forEach((one) => void one.destroy()));
  }
}

async function listening(accept: (client: Socket) => void): Promise<Wire> {
  const server = createServer(accept);
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
