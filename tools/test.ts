// npm test: runs the tests, says loudly what could not run, and closes with one line of counts.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { judgeCoverage } from './coverage.ts';
import { root } from './source/files.ts';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    long: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write('npm test [-- PATH…] [-- --coverage] [-- --long]\n  example: npm test -- src/vault\n');
  process.exit(0);
}

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-test-'));
const report = join(folder, 'report.json');
const strict = process.env.GATEHOUSE_TEST_REQUIRE === 'all';

function vitest(): Promise<number> {
  const coverage = values.coverage
    ? [
        '--coverage.enabled',
        '--coverage.provider=v8',
        '--coverage.reportOnFailure',
        '--coverage.include=src/**',
        '--coverage.reporter=json-summary',
        `--coverage.reportsDirectory=${folder}`,
      ]
    : [];
  const parameters = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...coverage, ...positionals];
  const env = { ...process.env, ...(values.long ? { GATEHOUSE_TEST_LONG: '1' } : {}) };
  const child = spawn(join(root, 'node_modules', '.bin', 'vitest'), parameters, { cwd: root, env, stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}

/** A file that did not load counts as one failed test. */
function judge(result: Report): { readonly passed: number; readonly failed: number; readonly skipped: readonly string[] } {
  const skipped = result.testResults.flatMap((file) =>
    file.assertionResults.filter((test) => !['passed', 'failed'].includes(test.status)).map((test) => test.fullName),
  );
  const broken = result.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  return { passed: result.numPassedTests, failed: result.numFailedTests + broken, skipped };
}

const code = await vitest();
const { passed, failed, skipped } = judge(JSON.parse(readFileSync(report, 'utf8')) as Report);
for (const name of skipped) process.stdout.write(`${strict ? 'FAILED (could not run)' : 'NOT RUN'}: ${name}\n`);
const uncovered = values.coverage ? judgeCoverage(join(folder, 'coverage-summary.json')) : 0;
rmSync(folder, { recursive: true, force: true });
const failures = failed + (strict ? skipped.length : 0) + uncovered;
process.stdout.write(`${passed} passed, ${failures} failed${!strict && skipped.length > 0 ? `, ${skipped.length} skipped` : ''}\n`);
process.exit(failures > 0 ? 1 : code);
