// npm run build: the published package's JavaScript and types, in dist/.
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { root } from './source/files.ts';

rmSync(join(root, 'dist'), { recursive: true, force: true });
const compiled = spawnSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (compiled.status !== 0) process.exit(compiled.status ?? 1);

/** The compiler copies no assets. */
for (const asset of globSync(join(root, 'src/**/*.{css,cjs,svg,sh}'))) {
  const target = join(root, 'dist', relative(join(root, 'src'), asset));
  mkdirSync(dirname(target), { recursive: true });
  cpSync(asset, target);
}
process.stdout.write('built dist/\n');
