import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import type { Command } from 'commander';
import { Fault } from '#kernel';
import { askSeveral, awaitConfirmation, readInput, type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { connectFound, type Found, type Provider, parseImport, recognise } from '../found-keys.ts';
import type { Server } from '../server.ts';
import { lowered } from '../speech.ts';

interface ImportFlags extends WaitOptions {
  readonly force?: boolean;
}

interface ScanFlags extends ImportFlags {
  readonly import?: boolean;
  readonly yes?: boolean;
  readonly env?: boolean;
}

/** scan and import: keys that lie about become connections. */
export function importCommands(program: Command, host: CommandHost): void {
  addCommand<ScanFlags>(program, host, {
    usage: 'scan [folder]',
    tells: 'look for keys in .env files and the environment; shows names, never values',
    example: 'gatehouse scan . --import',
    options: [
      ['--import', 'make connections of what you choose'],
      ['--yes', 'with --import: of everything that was recognised'],
      ['--no-env', 'leave the environment out'],
      ...waitFlags,
    ],
    action: scan,
  });
  addCommand<ImportFlags>(program, host, {
    usage: 'import',
    tells: 'make connections of keys on standard input (.env lines, or JSON as other brokers export it), confirmed in the browser',
    example: 'gatehouse import < keys.env',
    options: [['--force', 'replace connections of the same name'], ...waitFlags],
    more: 'JSON: { "OPENAI_API_KEY": "…" }, or [{ "provider": "openai", "connection": "work", "key": "…" }]',
    action: importKeys,
  });
}

/** Every provider, with the names of its variables. */
async function allProviders(server: Server): Promise<readonly Provider[]> {
  const providers: Provider[] = [];
  let cursor: string | undefined;
  do {
    const page = await server.person.call('provider_list', { query: { limit: 200, ...(cursor === undefined ? {} : { cursor }) } });
    providers.push(...page.items);
    cursor = page.next;
  } while (cursor !== undefined);
  return providers;
}

async function scan(context: Context, given: readonly string[], flags: ScanFlags): Promise<number | undefined> {
  const server = context.server();
  const providers = await allProviders(server);
  const folder = resolve(context.io.cwd, given[0] ?? '.');
  const places = [...envFiles(folder), ...(flags.env === false ? [] : [{ place: 'environment', values: context.io.env }])];
  const found = places.flatMap(({ place, values }) => recognise(place, values, providers));
  if (!flags.import) return report(context, found);
  const chosen = await choose(context, found, flags.yes === true);
  return connectAll(context, server, chosen, flags);
}

/** `.env` and `.env.*` of one folder; samples hold no keys. */
function envFiles(folder: string): readonly { readonly place: string; readonly values: Readonly<Record<string, string | undefined>> }[] {
  const names = readdirSync(folder).filter((name) => /^\.env(\.[\w.-]+)?$/.test(name) && !/\.(example|sample|template)$/.test(name));
  return names.flatMap((name) => {
    try {
      return [{ place: join(folder, name), values: parseEnv(readFileSync(join(folder, name), 'utf8')) }];
    } catch {
      return [];
    }
  });
}

function report(context: Context, found: readonly Found[]): undefined {
  const items = found.map(({ name, place, provider }) => ({ name, place, ...(provider === undefined ? {} : { provider: provider.id }) }));
  if (context.speech.json) context.speech.value({ items });
  else if (found.length === 0) context.speech.note('no keys found');
  else {
    context.speech.table(
      ['name', 'place', 'provider'],
      items.map((item) => [item.name, item.place, item.provider]),
    );
    context.speech.note('make connections of those with a provider: gatehouse scan --import');
  }
  return undefined;
}

async function choose(context: Context, found: readonly Found[], all: boolean): Promise<readonly Found[]> {
  const usable = found.filter((key) => key.provider !== undefined);
  if (all || usable.length === 0) return usable;
  const labels = new Map(usable.map((key) => [`${key.name} (${key.provider?.id}, ${key.place})`, key]));
  const chosen = await askSeveral(context, 'make connections of', [...labels.keys()]);
  return chosen.flatMap((label) => labels.get(label) ?? []);
}

async function importKeys(context: Context, _given: readonly string[], flags: ImportFlags): Promise<number> {
  const text = await readInput(context);
  const server = context.server();
  const keys = parseImport(text, await allProviders(server));
  if (keys.length === 0)
    throw new Fault('invalid_request', {
      detail: 'Nothing on standard input is a key of a known provider',
      hint: 'see what is known: gatehouse provider list',
    });
  return connectAll(context, server, keys, flags);
}

function reasonOf(fault: Fault): string {
  return [fault.message, ...Object.values(fault.details.fields ?? {})].map(lowered).join(': ');
}

async function confirmAll(context: Context, server: Server, flows: readonly string[], flags: WaitOptions): Promise<string> {
  if (flows.length === 0) return 'not connected';
  const parked = await server.person.call('connection_confirm', { body: { flows: [...flows] } });
  const { status } = await awaitConfirmation(context, server, parked, flags);
  return status === 'confirmed' ? 'connected' : 'not confirmed yet';
}

/**
 * Each on its own: one that fails keeps no other from its turn. The first failure gives the exit code. One link confirms all
 * that were made (SECURITY 4).
 */
async function connectAll(context: Context, server: Server, keys: readonly Found[], flags: ImportFlags): Promise<number> {
  const outcomes: (Awaited<ReturnType<typeof connectFound>> & { readonly name: string })[] = [];
  for (const key of keys) outcomes.push({ name: key.name, ...(await connectFound(server, key, flags.force === true)) });
  const failure = outcomes.find(({ fault }) => fault !== undefined)?.fault;
  const made = await confirmAll(
    context,
    server,
    outcomes.flatMap(({ flow }) => flow ?? []),
    flags,
  );
  const results = outcomes.map(({ name, connection, fault }) => ({
    name,
    connection,
    result: fault === undefined ? made : reasonOf(fault),
  }));
  if (context.speech.json) context.speech.value({ items: results });
  else
    context.speech.table(
      ['name', 'connection', 'result'],
      results.map((row) => [row.name, row.connection, row.result]),
    );
  if (failure !== undefined) return failure.row.exit;
  context.speech.note(
    'say what they may be used for: gatehouse policy allow <agent> <provider> read; then remove the keys where they were',
  );
  return 0;
}
