import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { Fault } from '#kernel';
import { redisUrlOf } from './redis-url.ts';
import { type Alias, type Reader, type SettingKey, type Settings, settingsTable } from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a value came from: a variable, a `*_FILE`, a line of the .env file, or the default. */
export interface Source {
  readonly name: string;
  readonly from: 'environment' | 'file' | '.env' | 'default';
}

export interface ReadSettings {
  readonly settings: Settings;
  readonly sources: Readonly<Record<SettingKey, Source>>;
}

export interface ReadOptions {
  readonly env: Environment;
  /** `--env-file`; else `.env` in the data folder, if there. Never the folder in which a command was typed. */
  readonly envFile?: string;
  /** Aliases are read by the server's own commands only. */
  readonly aliases: boolean;
}

interface Problem {
  readonly name: string;
  readonly sentence: string;
}

/**
 * Reads every setting. All problems are reported together, and no problem repeats a value.
 * @throws {Fault} `invalid_setting`, with one field per variable
 */
export function readSettings(options: ReadOptions): ReadSettings {
  const problems: Problem[] = [];
  const layers = readLayers(options, problems);
  const settings: Partial<Record<SettingKey, unknown>> = {};
  const sources: Partial<Record<SettingKey, Source>> = {};
  const compat = lookUp('compat', layers, [])?.text;
  for (const key of Object.keys(settingsTable) as SettingKey[]) {
    const aliases = options.aliases ? activeAliases(key, compat) : [];
    const found = lookUp(key, layers, aliases, problems);
    const parsed = settingsTable[key].schema.safeParse(found?.text);
    if (parsed.success) settings[key] = parsed.data;
    else
      problems.push({
        name: found?.source.name ?? settingsTable[key].env,
        sentence: parsed.error.issues.map((issue) => plain(issue.message)).join('; '),
      });
    sources[key] = found?.source ?? { name: settingsTable[key].env, from: 'default' };
  }
  problems.push(...unknownNames(layers));
  const redis = problems.length > 0 ? undefined : redisUrlOf(settings as Settings);
  for (const [name, sentence] of Object.entries(redis?.problems ?? {})) problems.push({ name, sentence });
  if (problems.length > 0) throw settingFault(problems);
  return { settings: { ...(settings as Settings), redisUrl: redis?.url }, sources: sources as Record<SettingKey, Source> };
}

interface Layer {
  readonly from: 'environment' | '.env';
  readonly values: Environment;
}

function readLayers(options: ReadOptions, problems: Problem[]): Layer[] {
  const environment: Layer = { from: 'environment', values: options.env };
  const home = settingsTable.home.schema.parse(options.env[settingsTable.home.env]);
  const file = options.envFile ?? join(home, '.env');
  try {
    return [environment, { from: '.env', values: parseEnv(readFileSync(file, 'utf8')) }];
  } catch (cause) {
    if (options.envFile !== undefined || !isAbsent(cause)) problems.push({ name: '--env-file', sentence: 'the file cannot be read' });
    return [environment];
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

interface Found {
  readonly text: string;
  readonly source: Source;
}

/** The setting's own name first, in the environment, then in .env; then `NAME_FILE` of a secret; then its aliases. */
function lookUp(key: SettingKey, layers: readonly Layer[], aliases: readonly Alias[], problems: Problem[] = []): Found | undefined {
  const row: { readonly env: string; readonly secret?: true } = settingsTable[key];
  for (const layer of layers) {
    for (const name of [row.env, ...aliases.map((alias) => alias.name)]) {
      const text = layer.values[name];
      if (text !== undefined && text !== '') return { text, source: { name, from: layer.from } };
      const file = row.secret === true && !isSetting(`${name}_FILE`) ? layer.values[`${name}_FILE`] : undefined;
      if (file !== undefined && file !== '') return readSecretFile(`${name}_FILE`, file, problems);
    }
  }
  return undefined;
}

function readSecretFile(name: string, file: string, problems: Problem[]): Found | undefined {
  try {
    return { text: readFileSync(file, 'utf8').trim(), source: { name, from: 'file' } };
  } catch {
    problems.push({ name, sentence: 'the file cannot be read' });
    return undefined;
  }
}

function activeAliases(key: SettingKey, compat: string | undefined): readonly Alias[] {
  const row: { readonly aliases?: readonly Alias[] } = settingsTable[key];
  return (row.aliases ?? []).filter((alias) => alias.with === undefined || alias.with === compat);
}

const names = new Set<string>(Object.values(settingsTable).map((row) => row.env));

function isSetting(name: string): boolean {
  return names.has(name);
}

function isSecretFile(name: string): boolean {
  return Object.values(settingsTable).some(
    (row: { readonly env: string; readonly secret?: true }) => row.secret === true && name === `${row.env}_FILE`,
  );
}

/** A misspelt variable must not be ignored in silence. `GATEHOUSE_TEST_*` belong to the tests. */
function unknownNames(layers: readonly Layer[]): Problem[] {
  return layers.flatMap((layer) =>
    Object.keys(layer.values)
      .filter((name) => name.startsWith('GATEHOUSE_') && !name.startsWith('GATEHOUSE_TEST_') && !isSetting(name) && !isSecretFile(name))
      .map((name) => ({ name, sentence: `there is no such setting${suggestion(name)}` })),
  );
}

function suggestion(name: string): string {
  const near = [...names].map((known) => ({ known, far: distance(name, known) })).sort((a, b) => a.far - b.far)[0];
  return near !== undefined && near.far <= 3 ? `; did you mean ${near.known}` : '';
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(change, (previous[j] as number) + 1, (current[j - 1] as number) + 1));
    }
    previous = current;
  }
  return previous[b.length] as number;
}

/** zod's own sentences do not repeat the input; only their capital is ours to mend. */
function plain(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}

function settingFault(problems: readonly Problem[]): Fault {
  const fields = Object.fromEntries(problems.map((problem) => [problem.name, problem.sentence]));
  const detail = problems.map((problem) => `${problem.name}: ${problem.sentence}`).join('; ');
  return new Fault('invalid_setting', { detail, fields });
}

/** Names of a reader's settings, in the order of the table. */
export function settingsFor(reader: Reader): SettingKey[] {
  return (Object.keys(settingsTable) as SettingKey[]).filter((key) => (settingsTable[key].readers as readonly Reader[]).includes(reader));
}
