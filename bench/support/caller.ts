// A process of its own that calls at a steady rate: parameters are the target as JSON, tunnels, and calls a second.
import { callInTurn, openTunnel, type ProxyTarget } from './tunnel.ts';

const [json, tunnels, rate] = process.argv.slice(2) as [string, string, string];
const target = JSON.parse(json) as ProxyTarget;
const pause = (Number(tunnels) / Number(rate)) * 1000;

async function call(first: number): Promise<void> {
  const tunnel = await openTunnel(target);
  for (let due = performance.now() + first; ; due += pause) {
    await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    await callInTurn(tunnel, target, 1);
  }
}

const calling = Array.from({ length: Number(tunnels) }, (_, i) => call((pause * i) / Number(tunnels)));
process.stdout.write('calling\n');
await Promise.all(calling);
