import { expect } from 'vitest';
import type { Ended } from './installation.ts';
import type { Seen } from './upstream.ts';
import type { World } from './world.ts';

/** What came to the API below `path`. */
export function arrived(world: World, path: string): readonly Seen[] {
  return world.upstream.seen.filter((seen) => seen.url.startsWith(path));
}

/** The program's calls below `path` all came with the key, and neither it nor its output ever held it. */
export function proves(world: World, path: string, ended: Ended): void {
  expect([ended.code, ended.stderr]).toEqual([0, expect.not.stringContaining(world.canary)]);
  expect(ended.stdout).not.toContain(world.canary);
  const seen = arrived(world, path);
  expect(seen.length).toBeGreaterThan(0);
  expect(new Set(seen.map((one) => one.headers.authorization))).toEqual(new Set([`Bearer ${world.canary}`]));
  expect(seen.flatMap((one) => Object.keys(one.headers)).filter((name) => name.startsWith('proxy-'))).toEqual([]);
}

/** Runs a program that asks for one path of its own, as often as said. */
export async function calls(world: World, name: string, program: (url: string) => readonly string[], times = 1): Promise<Ended> {
  const ended = await world.run(program(`${world.api}/as/${name}`), { timeout: 150_000 });
  proves(world, `/as/${name}`, ended);
  expect(ended.stdout.match(/"ok":true/g)).toHaveLength(times);
  expect(arrived(world, `/as/${name}`)).toHaveLength(times);
  return ended;
}
