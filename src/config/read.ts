import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { settingFault } from '#kernel';
import { isServiceLink, unsupported } from './compatibility.ts';
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
  /** What was found and not used, one sentence each, without values. */
  readonly notices: readonly string[];
}

/** As far as they could be read: a setting that is wrong has its default. */
export interface TriedSettings extends ReadSettings {
  /** What is wrong, by variable. */
  readonly problems: Readonly<Record<string, string>>;
}

export interface ReadOptions {
  readonly env: Environment;
  /** `--env-file`; else `.env` in the data folder, if there. Never the folder in which a command was typed. */
  readonly envFile?: string | undefined;
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
  const { problems, ...read } = trySettings(options);
  if (Object.keys(problems).length > 0) throw settingFault(problems);
  return read;
}

/** Reads every setting, for whoever has more to say about them. */
export function trySettings(options: ReadOptions): TriedSettings {
  const problems: Problem[] = [];
  const notices: string[] = [];
  const layers = readLayers(options, problems, notices);
  const settings: Partial<Record<SettingKey, unknown>> = {};
  const sources: Partial<Record<SettingKey, Source>> = {};
  const compat = options.aliases ? ownValue('compat', layers)?.text : undefined;
  for (const key of Object.keys(settingsTable) as SettingKey[]) {
    const found = lookUp(key, layers, options.aliases ? activeAliases(key, compat) : [], { problems, notices });
    const { schema, env } = settingsTable[key];
    const parsed = schema.safeParse(found?.text);
    if (!parsed.success)
      problems.push({
        name: found?.source.name ?? env,
        sentence: parsed.error.issues.map((issue) => plain(issue.message)).join('; '),
      });
    settings[key] = parsed.success ? parsed.data : schema.safeParse(undefined).data;
    sources[key] = found?.source ?? { name: env, from: 'default' };
  }
  problems.push(...unknownNames(layers));
  const redis = redisUrlOf(settings as Settings);
  for (const [name, sentence] of Object.entries(redis.problems)) problems.push({ name, sentence });
  if (options.aliases) notices.push(...notYetNotices(layers, compat));
  return {
    settings: { ...(settings as Settings), redisUrl: redis.url },
    sources: sources as Record<SettingKey, Source>,
    notices,
    problems: Object.fromEntries(problems.map(({ name, sentence }) => [name, sentence])),
  };
}

interface Layer {
  readonly from: 'environment' | '.env';
  readonly values: Environment;
}

function readLayers(options: ReadOptions, problems: Problem[], notices: string[]): Layer[] {
  const environment: Layer = { from: 'environment', values: withoutLinks(options.env, notices) };
  const home = settingsTable.home.schema.parse(options.env[settingsTable.home.env]);
  const file = options.envFile ?? join(home, '.env');
  try {
    return [environment, { from: '.env', values: parseEnv(readFileSync(file, 'utf8')) }];
  } catch (cause) {
    if (options.envFile !== undefined || !isAbsent(cause)) problems.push({ name: '--env-file', sentence: 'the file cannot be read' });
    return [environment];
  }
}

function withoutLinks(env: Environment, notices: string[]): Environment {
  const links = Object.keys(env).filter((name) => isServiceLink(name, env[name]));
  if (links.length === 0) return env;
  notices.push(
    `ignored ${links.length} variables that Kubernetes sets for its services, such as ${links[0]}; enableServiceLinks: false keeps them away`,
  );
  const ignored = new Set(links);
  return Object.fromEntries(Object.entries(env).filter(([name]) => !ignored.has(name)));
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

interface Found {
  readonly text: string;
  readonly source: Source;
}

interface Told {
  readonly problems: Problem[];
  readonly notices: string[];
}

/** The setting's own name wins. Two other names must agree. */
function lookUp(key: SettingKey, layers: readonly Layer[], aliases: readonly Alias[], told: Told): Found | undefined {
  const own = ownValue(key, layers, told.problems);
  const others = aliases.filter(({ last }) => last !== true).flatMap(({ name }) => findValue(key, name, layers, told.problems) ?? []);
  if (own !== undefined) {
    for (const { text, source } of others) {
      if (text !== own.text) told.notices.push(`${source.name} is not used, since ${own.source.name} is set`);
    }
    return own;
  }
  const [first] = others;
  const other = others.find(({ text }) => text !== first?.text);
  if (first !== undefined && other !== undefined) {
    const sentence = `${other.source.name} is set too, and to something else; keep one of them, or set ${settingsTable[key].env}`;
    told.problems.push({ name: first.source.name, sentence });
  }
  const [platform] = aliases.filter(({ last }) => last === true);
  return first ?? (platform === undefined ? undefined : findValue(key, platform.name, layers.slice(0, 1), told.problems));
}

function ownValue(key: SettingKey, layers: readonly Layer[], problems: Problem[] = []): Found | undefined {
  return findValue(key, settingsTable[key].env, layers, problems);
}

/** A name in the environment, then in .env; of a secret, then the file that `NAME_FILE` names. */
function findValue(key: SettingKey, name: string, layers: readonly Layer[], problems: Problem[]): Found | undefined {
  const row: { readonly secret?: true } = settingsTable[key];
  for (const { from, values } of layers) {
    const text = values[name];
    if (text !== undefined && text !== '') return { text, source: { name, from } };
    const file = row.secret === true && !isSetting(`${name}_FILE`) ? values[`${name}_FILE`] : undefined;
    if (file !== undefined && file !== '') return readSecretFile(`${name}_FILE`, file, problems);
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

function notYetNotices(layers: readonly Layer[], compat: string | undefined): readonly string[] {
  const keys = Object.keys(settingsTable) as SettingKey[];
  const read = new Set(keys.flatMap((key) => activeAliases(key, compat)).map(({ name }) => name));
  const given = layers.flatMap(({ values }) => Object.keys(values).filter((name) => values[name] !== ''));
  return unsupported(given, compat, read).map((name) => `${name} is not supported yet, and is not used`);
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

/** Names of a reader's settings, in the order of the table. */
export function settingsFor(reader: Reader): SettingKey[] {
  return (Object.keys(settingsTable) as SettingKey[]).filter((key) => (settingsTable[key].readers as readonly Reader[]).includes(reader));
}
