import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testWith } from '../support/need.ts';
import { makeWorld, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await makeWorld();
}, 90_000);
afterAll(() => world?.close());

const lastSeen = () => world.upstream.seen.at(-1);

describe('a program under run', () => {
  testWith('curl')('calls an API authenticated, without ever holding the key', async () => {
    const { code, stdout, stderr } = await world.run(['curl', '-sS', `${world.api}/status/200`]);
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('error')]);
    expect(lastSeen()?.headers.authorization).toBe(`Bearer ${world.canary}`);
    expect(stdout).not.toContain(world.canary);
  });

  test('holds no canary in its environment or its arguments, and gets none back from an upstream that echoes', async () => {
    const script = `
      const answer = await fetch(process.argv[1], { headers: { authorization: 'Bearer ' + process.env.EXAMPLE_API_KEY } });
      console.log(JSON.stringify(process.env), process.argv.join(' '), await answer.text());`;
    const { code, stdout, stderr } = await world.run([process.execPath, '--input-type=module', '-e', script, `${world.api}/echo`]);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(lastSeen()?.headers.authorization).toBe(`Bearer ${world.canary}`);
    expect(stdout + stderr).not.toContain(world.canary);
    expect(stdout).not.toContain(Buffer.from(world.canary).toString('base64').slice(0, 20));
  });

  test('passes its exit code, its signals and standard input', async () => {
    expect((await world.run(['sh', '-c', 'exit 7'])).code).toBe(7);
    expect((await world.run(['sh', '-c', 'kill -TERM $$'])).code).toBe(143);
    expect((await world.run(['cat'], { input: 'through' })).stdout).toBe('through');
    expect((await world.run(['/no/such/program'])).code).toBe(127);
  });

  test('cannot administer from inside', async () => {
    const command = [process.execPath, '--conditions=gatehouse-source', join(import.meta.dirname, '../../src/bin/gatehouse.ts')];
    for (const inside of [
      ['policy', 'allow', 'default', 'example-api', 'everything'],
      ['keys', 'list'],
      ['agent', 'list'],
    ]) {
      const { code, stderr } = await world.run([...command, ...inside], { env: {} });
      expect([inside, code === 0, stderr]).toEqual([inside, false, expect.stringContaining('not from inside a run')]);
    }
  });

  test('is told when a call is refused, by a problem document of ours with the command that would permit it', async () => {
    const { stdout } = await world.site.command(['policy', 'deny', 'default', 'example-api', 'POST /forbidden']);
    expect(stdout).not.toContain('error');
    const script = `const a = await fetch(process.argv[1], { method: 'POST' }); console.log(a.status, JSON.stringify(await a.json()));`;
    const ended = await world.run([process.execPath, '--input-type=module', '-e', script, `${world.api}/forbidden`]);
    expect(ended.stdout).toMatch(/^403 /);
    expect(ended.stdout).toContain('"source":"gatehouse"');
    expect(world.upstream.seen.some((seen) => seen.url === '/forbidden')).toBe(false);
  });
});

describe('what rests', () => {
  test('holds no canary: data folder, log and audit trail', async () => {
    for (const entry of readdirSync(world.site.home, { recursive: true, withFileTypes: true }).filter((found) => found.isFile())) {
      expect([entry.name, readFileSync(join(entry.parentPath, entry.name)).includes(world.canary)]).toEqual([entry.name, false]);
    }
    expect(world.site.output()).not.toContain(world.canary);
    const { code, stdout } = await world.site.command(['log', '--json', '--limit', '200']);
    expect(code).toBe(0);
    expect(stdout).toContain('call.allowed');
    expect(stdout).not.toContain(world.canary);
  });

  test('proves itself', async () => {
    const { code, stdout, stderr } = await world.site.command(['log', 'verify', '--json']);
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toMatchObject({ holds: true, breaks: [] });
  });
});
