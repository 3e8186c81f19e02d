import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll } from 'vitest';
import { freePort } from './installation.ts';

/** A way over TCP that a test can break. */
export interface Forwarder {
  readonly port: number;
  /** Everything that is open ends, and nothing new is taken. */
  refuse(): Promise<void>;
  /** As a cut cable: bytes go nowhere, and nobody is told. */
  hang(): void;
  /** As it was; what was open before is not. */
  restore(): Promise<void>;
}

const closing = new Set<() => void>();
afterAll(() => {
  for (const close of closing) close();
});

/** Forwards a port of its own on loopback to `target`. */
export async function startForwarder(target: number): Promise<Forwarder> {
  const port = await freePort();
  const open = new Set<Socket>();
  let hanging = false;
  let server: Server | undefined;

  function keep(socket: Socket): void {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => open.delete(socket));
  }

  function accept(near: Socket): void {
    keep(near);
    if (hanging) return void near.pause();
    const far = connect(target, '127.0.0.1');
    keep(far);
    near.on('data', (part) => void (hanging || far.write(part)));
    far.on('data', (part) => void (hanging || near.write(part)));
    near.once('close', () => far.destroy());
    far.once('close', () => hanging || near.destroy());
  }

  async function listen(): Promise<void> {
    const listening = createServer({ noDelay: true }, accept);
    server = listening;
    await new Promise<void>((resolve, reject) => listening.once('error', reject).listen(port, '127.0.0.1', resolve));
  }

  function drop(): void {
    for (const socket of open) socket.destroy();
  }

  const close = async () => {
    const ended = new Promise((resolve) => server?.close(resolve));
    server = undefined;
    drop();
    await ended;
  };
  closing.add(() => void (server === undefined || close()));
  await listen();
  return {
    port,
    refuse: close,
    hang() {
      hanging = true;
    },
    async restore() {
      hanging = false;
      drop();
      if (server === undefined) await listen();
    },
  };
}
