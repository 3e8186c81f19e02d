import { openTunnel, type ProxyTarget, requestFor } from './tunnel.ts';

/** Milliseconds from an event's being written by the upstream to its being read here, for each of `count` events. */
export async function eventDelays(target: ProxyTarget, count: number): Promise<readonly number[]> {
  const secure = await openTunnel(target);
  secure.setNoDelay(true);
  const delays: number[] = [];
  let text = '';
  return new Promise((resolve, reject) => {
    const leave = () => {
      secure.destroy();
      resolve(delays);
    };
    secure.on('data', (part: Buffer) => {
      const now = process.hrtime.bigint();
      text += part.toString('latin1');
      for (let found = event.exec(text); found !== null; found = event.exec(text)) {
        delays.push(Number(now - BigInt(found[1] as string)) / 1e6);
        text = text.slice(found.index + found[0].length);
      }
      if (delays.length >= count) leave();
    });
    secure.on('error', reject);
    secure.on('close', () => reject(new Error('the stream was closed')));
    secure.write(requestFor(target, `/events/${count}`));
  });
}

const event = /data: (\d+)\n\n/;

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}
