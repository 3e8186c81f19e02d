/** One comparison. `ratio` is ours ÷ against; `budget` says which side of it holds (`≤ 0.5`, `≥ 3`). */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly against: string;
  readonly other: number | undefined;
  readonly ratio: number | undefined;
  readonly budget: string;
  readonly holds: boolean | undefined;
  readonly runs: number;
  /** Why there is no figure to compare with. */
  readonly note?: string;
}

/** A path of the product that has a budget: its name for `npm run bench -- NAME`, and how to measure it. */
export interface Bench {
  readonly name: string;
  readonly measure: () => Promise<readonly Row[]>;
}

interface Comparison {
  readonly name: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly against: string;
  readonly other: readonly number[];
  readonly budget: string;
}

/** Medians of both, their ratio, and whether it holds. */
export function compare({ name, unit, ours, against, other, budget }: Comparison): Row {
  const mine = median(ours);
  const theirs = median(other);
  const ratio = mine / theirs;
  return { name, unit, ours: mine, against, other: theirs, ratio, budget, holds: within(ratio, budget), runs: ours.length };
}

/** A figure with a limit of its own, not a ratio. */
export function limit(name: string, unit: string, ours: readonly number[], budget: string): Row {
  const mine = median(ours);
  return {
    name,
    unit,
    ours: mine,
    against: 'limit',
    other: undefined,
    ratio: undefined,
    budget,
    holds: within(mine, budget),
    runs: ours.length,
  };
}

/** A rival that is not on this machine. */
export function absent(name: string, unit: string, ours: readonly number[], against: string, budget: string, note: string): Row {
  return { name, unit, ours: median(ours), against, other: undefined, ratio: undefined, budget, holds: undefined, runs: ours.length, note };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function within(value: number, budget: string): boolean {
  const match = /^([≤≥<>])\s*([\d.]+)/.exec(budget);
  if (match === null) throw new Error(`a budget reads like "≤ 0.5": ${budget}`);
  const bound = Number(match[2]);
  return match[1] === '≤' || match[1] === '<' ? value <= bound : value >= bound;
}
