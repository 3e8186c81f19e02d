// npm run generate: writes what derives from the tables. With --check, only says what differs.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openApi } from '#api';
import { events } from '#audit';
import { envExample, settingsReference } from '#config';
import { faults } from '#kernel';
import { root } from './source/files.ts';

function faultsReference(): string {
  const lines = Object.entries(faults).map(([code, row]) => `| \`${code}\` | ${row.status} | ${row.exit} | ${row.title} | ${row.hint} |`);
  return page('Errors', 'src/kernel/faults.ts', [
    '| Code | HTTP status | Exit code | What happened | What to do |',
    '|---|---|---|---|---|',
    ...lines,
  ]);
}

function eventsReference(): string {
  const lines = Object.entries(events).map(
    ([name, row]) => `| \`${name}\` | ${row.tells} | ${row.fields.map((field) => `\`${field}\``).join(', ')} |`,
  );
  return page('Events', 'src/audit/events.ts', ['| Name | Tells that | Fields |', '|---|---|---|', ...lines]);
}

function page(title: string, source: string, lines: readonly string[]): string {
  return [`# ${title}`, '', `Generated from \`${source}\` by \`npm run generate\`.`, '', ...lines, ''].join('\n');
}

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

const generated: Readonly<Record<string, string>> = {
  '.env.example': envExample(),
  'docs/reference/settings.md': settingsReference(),
  'docs/reference/errors.md': faultsReference(),
  'docs/reference/events.md': eventsReference(),
  'docs/reference/openapi.json': `${JSON.stringify(openApi({ version, url: 'http://localhost:7300' }), null, 2)}\n`,
};

const current = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
const stale = Object.entries(generated).filter(([path, text]) => current(join(root, path)) !== text);

if (process.argv.includes('--check')) {
  for (const [path] of stale) process.stdout.write(`differs from what npm run generate makes: ${path}\n`);
  process.exit(stale.length === 0 ? 0 : 1);
}
for (const [path, text] of stale) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  process.stdout.write(`wrote ${path}\n`);
}
