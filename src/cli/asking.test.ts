import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'vitest';
import { testWith } from '../../test/support/need.ts';

const asks = `
  import { askYes } from ${JSON.stringify(new URL('./asking.ts', import.meta.url).href)};
  console.log('waiting');
  setTimeout(async () => {
    const answer = await askYes({ speech: { terminal: true }, io: { stdin: process.stdin } }, 'is it you?');
    console.log('answered ' + answer);
    process.exit();
  }, 1000);
`;

/** Types `early` before the question is asked, and `late` when it is seen. */
async function typing(early: string, late: string): Promise<string> {
  const node = `stty cols 80; exec '${process.execPath}' --conditions=gatehouse-source --disable-warning=ExperimentalWarning --input-type=module -e "$ASKS"`;
  const child = spawn('script', ['-qec', node, '/dev/null'], { env: { ...process.env, ASKS: asks, TERM: 'xterm' } });
  let said = '';
  let [before, after] = [early, late];
  child.stdout.on('data', (part) => {
    said += String(part);
    if (said.includes('waiting')) [, before] = [child.stdin.write(before), ''];
    if (said.includes('is it you?')) [, after] = [child.stdin.write(after), ''];
  });
  await once(child, 'close');
  return said;
}

testWith('script')(
  'a yes typed before the question is seen is none; the one typed at it counts',
  async () => {
    expect(await typing('y', 'n')).toContain('answered false');
    expect(await typing('n', 'y')).toContain('answered true');
  },
  30_000,
);
