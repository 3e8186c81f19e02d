// npm run bench [-- NAME…] [--json FILE]: each budget beside its rival and its floor, in one run.
import { globSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench, Row } from './row.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, help: { type: 'boolean', default: false } },
});

async function load(): Promise<readonly Bench[]> {
  const files = globSync(join(import.meta.dirname, 'paths', '*.ts')).sort();
  return Promise.all(
    files.map(async (file) => ({
      name: basename(file, '.ts'),
      measure: ((await import(file)) as { readonly measure: Bench['measure'] }).measure,
    })),
  );
}

const number = (value: number | undefined): string => (value === undefined ? '–' : value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function line(row: Row): string {
  const verdict = row.holds === undefined ? `not compared: ${row.note}` : row.holds ? 'holds' : 'FELL SHORT';
  return `${row.name.padEnd(52)} ${number(row.ours).padStart(9)} ${row.unit.padEnd(12)} ${row.against.padEnd(24)} ${number(row.other).padStart(9)}  ratio ${number(row.ratio).padStart(6)}  ${row.budget.padEnd(9)} ${verdict}\n`;
}

/** Every row has every member: what there is no figure for is null. */
function jsonOf(rows: readonly Row[]): string {
  return `${JSON.stringify(rows, (_, value: unknown) => (value === undefined ? null : value), 2)}\n`;
}

const benches = await load();
if (values.help) {
  process.stdout.write(
    `npm run bench [-- NAME…] [--json FILE]\n  names: ${benches.map((bench) => bench.name).join(', ')}\n  example: npm run bench -- policy --json out.json\n`,
  );
  process.exit(0);
}
const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name));
if (unknown.length > 0) {
  process.stderr.write(`no such bench; choose of: ${benches.map((bench) => bench.name).join(', ')}\n`);
  process.exit(1);
}
const rows: Row[] = [];
for (const bench of benches.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  process.stderr.write(`measuring ${bench.name}\n`);
  for (const row of await bench.measure()) {
    rows.push(row);
    process.stdout.write(line(row));
  }
  if (values.json !== undefined) writeFileSync(values.json, jsonOf(rows));
}
