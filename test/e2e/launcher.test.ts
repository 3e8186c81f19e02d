import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'vitest';
import { testWith } from '../support/need.ts';

const counts = `let seen = 0; process.on('SIGINT', () => seen++); setTimeout(() => console.log('ready'), 300);
  setTimeout(() => { console.log('seen ' + seen); process.exit(7); }, 3000);`;
const launches = `import { forward } from ${JSON.stringify(new URL('../../tools/launcher/forward.mjs', import.meta.url).href)};
  process.exit(await forward(process.execPath, ['-e', process.env.COUNTS], process.env));`;

testWith('script')(
  'an interrupt typed at the terminal reaches the program once, and its exit code comes back',
  async () => {
    const line = `exec '${process.execPath}' --input-type=module -e "$LAUNCHES"`;
    const child = spawn('script', ['-qec', line, '/dev/null'], { env: { ...process.env, LAUNCHES: launches, COUNTS: counts } });
    let [said, key] = ['', '\u0003'];
    child.stdout.on('data', (part) => {
      said += String(part);
      if (said.includes('ready')) [, key] = [child.stdin.write(key), ''];
    });
    const [code] = await once(child, 'close');
    expect([code, said]).toEqual([7, expect.stringContaining('seen 1')]);
  },
  30_000,
);
