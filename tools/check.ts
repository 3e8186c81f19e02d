// npm run check: format, lint, types, architecture, generated files; and a report of the longest functions.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root, sourceFiles } from './source/files.ts';
import { functionLengths } from './source/syntax.ts';

interface Check {
  readonly name: string;
  readonly command: readonly string[];
}

const bin = (name: string): string => join(root, 'node_modules', '.bin', name);
const source = ['--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning'];

const checks: readonly Check[] = [
  { name: 'format and lint', command: [bin('biome'), 'ci', '--error-on-warnings', '.'] },
  { name: 'types', command: [bin('tsc'), '-p', '.'] },
  { name: 'architecture', command: [bin('vitest'), 'run', 'test/architecture'] },
  { name: 'generated files', command: [process.execPath, ...source, join(root, 'tools', 'generate.ts'), '--check'] },
];

function run(check: Check): boolean {
  const [command, ...parameters] = check.command;
  const result = spawnSync(command as string, parameters, { cwd: root, encoding: 'utf8' });
  const holds = result.status === 0;
  process.stdout.write(`${holds ? 'ok  ' : 'FAIL'} ${check.name}\n`);
  if (!holds) process.stdout.write(`${result.stdout}${result.stderr}\n`);
  return holds;
}

function reportLengths(): void {
  const longest = sourceFiles('src')
    .flatMap(functionLengths)
    .sort((a, b) => b.lines - a.lines)
    .slice(0, 10);
  process.stdout.write('longest functions (nested functions not counted)\n');
  for (const entry of longest) process.stdout.write(`  ${String(entry.lines).padStart(4)}  ${entry.path}:${entry.line} ${entry.name}\n`);
}

const results = checks.map(run);
reportLengths();
process.exit(results.every(Boolean) ? 0 : 1);
