import { afterAll } from 'vitest';
import { type Clock, silentLog } from '#kernel';
import { createNet, type Net } from '#net';

const open = new Set<Net>();
afterAll(async () => {
  for (const net of open) await net.close();
});

/** The real room, which reaches nothing but these ports on loopback, by whatever name. */
export function testNet(ports: readonly number[], clock: Clock): Net {
  const net = createNet({
    allowPrivate: ports.flatMap((port) => [
      { host: 'localhost', port, cidr: '127.0.0.0/8' },
      { host: '127.0.0.1', port, cidr: '127.0.0.0/8' },
    ]),
    clock,
    log: silentLog,
    resolver: async () => [{ address: '127.0.0.1', family: 4 }],
  });
  open.add(net);
  return net;
}
