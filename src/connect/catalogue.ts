import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Fault } from '#kernel';
import { hostKey } from './checks.ts';
import { parseDefinition, parseShape, providerOf } from './definition.ts';
import type { Provider, ProviderDefinition } from './provider.ts';

/** The shipped providers by id, checked: none is ambiguous with another. */
export type Catalogue = ReadonlyMap<string, Provider>;

/** Beside the built program: every shipped definition, checked and as the schema makes it. */
const compiled = join(import.meta.dirname, 'providers.json');

/**
 * Reads every `<id>.json` in the folder and checks it; without one, `providers/` of this package, of which the tests have
 * checked before it was shipped what the schema cannot say, or what the build made of it.
 * @throws {Fault} `provider_invalid` naming the file as a JSON pointer's first member
 */
export function loadCatalogue(folder?: string): Catalogue {
  if (folder === undefined && existsSync(compiled)) {
    const definitions = JSON.parse(readFileSync(compiled, 'utf8')) as readonly ProviderDefinition[];
    return catalogueOf(definitions.map((definition) => providerOf(definition, 'catalogue')));
  }
  const from = folder ?? catalogueFolder();
  const files = readdirSync(from)
    .filter((name) => name.endsWith('.json'))
    .sort();
  const providers = files.map((file) => readProvider(from, file, folder !== undefined));
  return catalogueOf(providers);
}

/** A catalogue of these providers. @throws {Fault} `provider_invalid` when two share an id, or a host, port and path */
export function catalogueOf(providers: readonly Provider[]): Catalogue {
  const fields: Record<string, string> = {};
  const owners = new Map<string, string>();
  for (const provider of providers)
    for (const entry of provider.hosts) {
      const other = owners.get(hostKey(entry));
      if (other !== undefined) fields[`/${provider.id}/hosts`] = `it shares a host, port and path with ${other}: separate them by path`;
      owners.set(hostKey(entry), provider.id);
    }
  const catalogue = new Map(providers.map((provider) => [provider.id, provider]));
  if (catalogue.size !== providers.length) fields['/'] = 'two providers have one id';
  if (Object.keys(fields).length > 0) throw new Fault('provider_invalid', { fields });
  return catalogue;
}

function readProvider(folder: string, file: string, thorough: boolean): Provider {
  const input = JSON.parse(readFileSync(join(folder, file), 'utf8')) as unknown;
  const id = file.slice(0, -'.json'.length);
  try {
    const definition = thorough ? parseDefinition(input, { shipped: true }) : parseShape(input);
    if (definition.id !== id) throw new Fault('provider_invalid', { fields: { '/id': 'the id is not the name of the file' } });
    return providerOf(definition, 'catalogue');
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const named = Object.entries(error.details.fields ?? {}).map(([pointer, sentence]) => [`/${id}${pointer}`, sentence] as const);
    throw new Fault('provider_invalid', { fields: Object.fromEntries(named), cause: error });
  }
}

/** `providers/` beside the package's own `package.json`, from `src/` as well as from `dist/`. */
export function catalogueFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'providers')) || !existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Fault('internal', { detail: 'the providers folder of this package is missing' });
    folder = parent;
  }
  return join(folder, 'providers');
}
