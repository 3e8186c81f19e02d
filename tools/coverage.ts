import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { root } from './source/files.ts';

/** Share of lines that tests must reach, by room; the rest is `otherwise`. */
const least: Readonly<Record<string, number>> = { store: 85, vault: 85, policy: 85 };
const otherwise = 80;
/** Composition roots run as processes of their own, where line counts do not reach. */
const exempt = new Set(['bin']);

interface Lines {
  readonly total: number;
  readonly covered: number;
}

type Files = Readonly<Record<string, { readonly lines: Lines }>>;

/** The files of a room with the most lines that no test reaches, for whoever has to write the missing tests. */
function leastReached(files: Files, room: string): string {
  return Object.entries(files)
    .filter(([path]) => relative(root, path).startsWith(`src/${room}/`))
    .map(([path, { lines }]) => ({ path: relative(root, path), missed: lines.total - lines.covered }))
    .sort((a, b) => b.missed - a.missed)
    .slice(0, 6)
    .map(({ path, missed }) => `  ${path}: ${missed} lines not reached\n`)
    .join('');
}

/** Prints the share of lines reached in each room; returns how many rooms fall short. */
export function judgeCoverage(summary: string): number {
  const files = JSON.parse(readFileSync(summary, 'utf8')) as Files;
  const rooms = new Map<string, { total: number; covered: number }>();
  for (const [path, { lines }] of Object.entries(files)) {
    const room = /^src\/([a-z]+)\//.exec(relative(root, path))?.[1];
    if (room === undefined) continue;
    const sum = rooms.get(room) ?? { total: 0, covered: 0 };
    rooms.set(room, { total: sum.total + lines.total, covered: sum.covered + lines.covered });
  }
  let short = 0;
  for (const [room, { total, covered }] of [...rooms].sort(([a], [b]) => a.localeCompare(b))) {
    const share = total === 0 ? 100 : (100 * covered) / total;
    const wanted = exempt.has(room) ? 0 : (least[room] ?? otherwise);
    if (share < wanted) short++;
    process.stdout.write(
      `coverage ${room.padEnd(10)} ${share.toFixed(1).padStart(5)} % of lines (at least ${wanted})${share < wanted ? '  FELL SHORT' : ''}\n`,
    );
    if (share < wanted) process.stdout.write(leastReached(files, room));
  }
  return short;
}
