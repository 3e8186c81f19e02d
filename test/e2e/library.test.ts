import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execute } from '../support/installation.ts';
import { makeWorld, type World } from '../support/world.ts';

const root = join(import.meta.dirname, '..', '..');
let world: World;
beforeAll(async () => {
  world = await makeWorld({ reach: 'read' });
  await world.site.stop();
}, 90_000);
afterAll(() => world?.close());

/** Runs owner's code in a process of its own, with the library as a package would give it. */
async function ownersCode(code: string) {
  const file = join(world.folder, 'owner.mts');
  writeFileSync(
    file,
    `import { createGatehouse } from ${JSON.stringify(join(root, 'src/bin/index.ts'))};\nconst gatehouse = await createGatehouse();\n${code}\nawait gatehouse.close();\n`,
  );
  return execute([process.execPath, '--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning', file], {
    env: world.site.env,
    cwd: world.folder,
  });
}

test('the owner reads an access token in process, and that is recorded', async () => {
  const { code, stdout, stderr } = await ownersCode(`
    const { value } = await gatehouse.connections.accessToken('example-api', { connection: 'default' });
    console.log(String(value), value.reveal());`);
  expect([code, stderr, stdout.trim()]).toEqual([0, '', `[secret] ${world.canary}`]);
});

test('a call in the name of an agent is injected where permitted, and refused where not', async () => {
  const { code, stdout, stderr } = await ownersCode(`
    const read = await gatehouse.call('default', '${world.api}/echo');
    const write = await gatehouse.call('default', '${world.api}/echo', { method: 'POST', body: '{}' });
    console.log(read.status, write.status, (await write.json()).code, (await read.text()).includes('canary'));`);
  expect([code, stderr, stdout.trim()]).toEqual([0, '', '200 403 policy_denied false']);
  expect(world.upstream.seen.map((seen) => [seen.method, seen.headers.authorization])).toEqual([['GET', `Bearer ${world.canary}`]]);
});
