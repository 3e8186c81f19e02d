import { join } from 'node:path';
import { expect, test } from 'vitest';
import { execute } from '../support/installation.ts';

const root = join(import.meta.dirname, '..', '..');

test('the demo tells its story to the end: injected, refused, revoked, verified', async () => {
  const { code, stdout, stderr } = await execute(
    [process.execPath, '--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning', join(root, 'examples/demo/demo.ts')],
    { env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' }, timeout: 120_000 },
  );
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/python: 200/);
  expect(stdout).toMatch(/node: 200/);
  expect(stdout).toMatch(/node: 403 policy_denied/);
  expect(stdout).toContain('the agent is not active');
  expect(stdout).toMatch(/holds: \d+ events/);
}, 150_000);
