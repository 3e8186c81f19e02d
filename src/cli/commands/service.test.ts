import { expect } from 'vitest';
import { systemClock } from '#kernel';
import { testWith } from '../../../test/support/need.ts';
import { openMachine } from '../../../test/support/typing.ts';

const machine = openMachine({ clock: systemClock });
const testHere = testWith('systemctl');

interface Preview {
  readonly dry_run: boolean;
  readonly steps: readonly { readonly tells: string; readonly text?: string }[];
}

testHere('a removal of the service is previewed; the data is among what goes only with --purge', async () => {
  const kept = (await machine.type(['service', 'uninstall', '--dry-run', '--json'])).json() as Preview;
  const purged = (await machine.type(['service', 'uninstall', '--purge', '--dry-run', '--json'])).json() as Preview;
  expect([kept.dry_run, purged.dry_run]).toEqual([true, true]);
  const of = ({ steps }: Preview) => steps.map(({ tells }) => tells).join('\n');
  expect(of(kept)).not.toContain('/var/lib/gatehouse');
  expect(of(purged)).toContain('/var/lib/gatehouse');
});

testHere('a preview reads as sentences without --json', async () => {
  const { code, out } = await machine.type(['service', 'uninstall', '--purge', '--dry-run']);
  expect([code, out]).toEqual([0, expect.stringMatching(/^would /m)]);
});

testHere('a port that is none is refused before anything is done', async () => {
  for (const port of ['x', '0', '65536', '1.5']) {
    const { code, err } = await machine.type(['service', 'install', '--dry-run', '--port', port]);
    expect([port, code, err]).toEqual([port, 1, expect.stringContaining('--port takes a number up to 65535')]);
  }
});

testHere('the status says whether it is installed, and by its exit code whether it answers', async () => {
  const { code, out } = await machine.type(['service', 'status', '--json']);
  expect([code, JSON.parse(out)]).toEqual([expect.toBeOneOf([0, 9]), expect.objectContaining({ installed: expect.any(Boolean) })]);
});
