import type { TLSSocket } from 'node:tls';
import { cpuSeconds } from './cpu.ts';
import type { Running } from './site.ts';
import { callInTurn, openTunnel } from './tunnel.ts';

/** Kept-alive tunnels of one proxy, as many as calls are in flight. */
export interface Load {
  readonly proxy: Running;
  /** Microseconds of CPU of the proxy's processes for each of about `calls` calls. */
  measure(calls: number): Promise<number>;
  close(): void;
}

export async function openLoad(proxy: Running, inFlight: number): Promise<Load> {
  const tunnels: TLSSocket[] = [];
  for (let i = 0; i < inFlight; i++) tunnels.push(await openTunnel(proxy.target));
  return {
    proxy,
    async measure(calls) {
      const each = Math.ceil(calls / inFlight);
      const before = cpuSeconds(proxy.pid);
      await Promise.all(tunnels.map((tunnel) => callInTurn(tunnel, proxy.target, each)));
      return ((cpuSeconds(proxy.pid) - before) * 1e6) / (each * inFlight);
    },
    close: () => {
      for (const tunnel of tunnels) tunnel.destroy();
    },
  };
}

/** Microseconds of CPU for each of `tunnels` new tunnels with one call, `atOnce` at a time. */
export async function cpuPerTunnel(proxy: Running, tunnels: number, path: string, atOnce = 4): Promise<number> {
  const before = cpuSeconds(proxy.pid);
  let left = tunnels;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const tunnel = await openTunnel(proxy.target);
      tunnel.on('error', () => {});
      await callInTurn(tunnel, proxy.target, 1, path);
      tunnel.destroy();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return ((cpuSeconds(proxy.pid) - before) * 1e6) / tunnels;
}
