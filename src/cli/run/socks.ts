import type { Socket } from 'node:net';
import type { OpenTunnel } from './forwarder.ts';
import { splice } from './splice.ts';

const version = 5;
const passwordMethod = 2;
const noMethod = 0xff;
const connectCommand = 1;
const reply = { granted: 0, failed: 1, forbidden: 2, unreachable: 4, commandUnknown: 7, addressUnknown: 8 } as const;

/**
 * SOCKS 5 with user name and password (RFC 1928, 1929), for runtimes that cannot authenticate to an HTTP proxy (Java).
 * Every connection becomes a CONNECT to the same proxy, under the same rules.
 */
export async function serveSocks(
  socket: Socket,
  mayPass: (user: string, password: string) => boolean,
  openTunnel: (target: string) => Promise<OpenTunnel>,
): Promise<void> {
  try {
    const read = reader(socket);
    if (!(await agreeOnPassword(socket, read)) || !(await checkPassword(socket, read, mayPass))) return void socket.end();
    const target = await readTarget(socket, read);
    if (target === undefined) return void socket.end();
    const { far, head } = await openTunnel(target);
    if (!/^HTTP\/1\.[01] 200 /.test(head.toString('latin1', 0, 16))) {
      far.destroy();
      return say(socket, reply.forbidden, true);
    }
    say(socket, reply.granted, false);
    splice(socket, far);
  } catch {
    say(socket, reply.unreachable, true);
  }
}

type Read = (count: number) => Promise<Buffer>;

async function agreeOnPassword(socket: Socket, read: Read): Promise<boolean> {
  const [got, count] = await read(2);
  const methods = await read(count as number);
  const agreed = got === version && methods.includes(passwordMethod);
  socket.write(Uint8Array.of(version, agreed ? passwordMethod : noMethod));
  return agreed;
}

async function checkPassword(socket: Socket, read: Read, mayPass: (user: string, password: string) => boolean): Promise<boolean> {
  const [, length] = await read(2);
  const user = (await read(length as number)).toString();
  const [size] = await read(1);
  const password = (await read(size as number)).toString();
  const good = mayPass(user, password);
  socket.write(Uint8Array.of(1, good ? 0 : 1));
  return good;
}

/** `host:port` as CONNECT names it. */
async function readTarget(socket: Socket, read: Read): Promise<string | undefined> {
  const [, command, , kind] = await read(4);
  if (command !== connectCommand) return void say(socket, reply.commandUnknown, true);
  const host = await readHost(kind as number, read);
  if (host === undefined) return void say(socket, reply.addressUnknown, true);
  const port = (await read(2)).readUInt16BE(0);
  return `${host}:${port}`;
}

async function readHost(kind: number, read: Read): Promise<string | undefined> {
  if (kind === 1) return [...(await read(4))].join('.');
  if (kind === 4) {
    const words = (await read(16)).toString('hex').match(/.{4}/g) as string[];
    return `[${words.map((word) => Number.parseInt(word, 16).toString(16)).join(':')}]`;
  }
  if (kind !== 3) return undefined;
  const [length] = await read(1);
  const name = (await read(length as number)).toString('latin1');
  return /^[a-z0-9._-]{1,253}$/i.test(name) ? name : undefined;
}

function say(socket: Socket, code: number, last: boolean): void {
  socket.write(Uint8Array.of(version, code, 0, 1, 0, 0, 0, 0, 0, 0));
  if (last) socket.end();
}

/** Exactly as many bytes as asked for, or a rejection when the socket ends before. */
function reader(socket: Socket): Read {
  return async (count) => {
    if (count === 0) return Buffer.alloc(0);
    for (;;) {
      const part = socket.read(count) as Buffer | null;
      if (part !== null && part.length === count) return part;
      if (socket.readableEnded || socket.destroyed) throw new Error('the client left');
      await new Promise<void>((resolve) => {
        const wake = () => {
          for (const name of ['readable', 'end', 'close'] as const) socket.off(name, wake);
          resolve();
        };
        for (const name of ['readable', 'end', 'close'] as const) socket.on(name, wake);
      });
    }
  };
}
