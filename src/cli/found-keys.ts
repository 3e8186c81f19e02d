import { parseEnv } from 'node:util';
import { z } from 'zod';
import { nameSchema, type schemas } from '#api';
import { Fault, Secret } from '#kernel';
import { isSecretVariable } from './run/recognised.ts';
import type { Server } from './server.ts';

export type Provider = z.output<typeof schemas.providerView>;

/** A key that was found, and the provider it is for, where that is known. */
export interface Found {
  readonly name: string;
  readonly place: string;
  readonly provider: Provider | undefined;
  readonly connection: string;
  readonly fields: Secret<Readonly<Record<string, string>>>;
}

/** Which variables look like keys, by the names providers use and by what keys look like. */
export function recognise(
  place: string,
  values: Readonly<Record<string, string | undefined>>,
  providers: readonly Provider[],
): readonly Found[] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined || value === '' || /^(GATEHOUSE|AUTHSOME)_/.test(name)) return [];
    const provider = providers.find((candidate) => candidate.variables.includes(name) && takesOneKey(candidate));
    if (provider === undefined && !isSecretVariable(name, value)) return [];
    return [{ name, place, provider, connection: 'default', fields: new Secret(fieldsFor(provider, value)) }];
  });
}

/** Some flow of it is completed by one secret value. */
function takesOneKey(provider: Provider): boolean {
  return (
    provider.flows.includes('api_key') && provider.unsupported === undefined && provider.fields.filter((field) => field.secret).length === 1
  );
}

function fieldsFor(provider: Provider | undefined, value: string): Readonly<Record<string, string>> {
  const field = provider?.fields.find((candidate) => candidate.secret)?.name;
  return field === undefined ? {} : { [field]: value };
}

const exported = z.object({
  provider: z.string(),
  connection: z.string().optional(),
  name: z.string().optional(),
  connection_name: z.string().optional(),
  key: z.string().optional(),
  api_key: z.string().optional(),
  token: z.string().optional(),
  access_token: z.string().optional(),
  fields: z.record(z.string(), z.string()).optional(),
});

/** Keys from standard input: `.env` lines, a JSON object of variables, or a JSON list of connections. @throws {Fault} */
export function parseImport(text: string, providers: readonly Provider[]): readonly Found[] {
  const json = jsonOf(text);
  if (json === undefined) return known(recognise('standard input', parseEnv(text), providers));
  const listed = z.object({ connections: z.array(z.unknown()) }).safeParse(json);
  const rows = Array.isArray(json) ? json : listed.success ? listed.data.connections : undefined;
  if (rows !== undefined) return rows.map((row, index) => fromExport(row, index, providers));
  const variables = z.record(z.string(), z.string()).safeParse(json);
  if (!variables.success)
    throw new Fault('invalid_request', {
      detail: 'The JSON is neither variables nor a list of connections',
      hint: 'see: gatehouse import --help',
    });
  return known(recognise('standard input', variables.data, providers));
}

function known(found: readonly Found[]): readonly Found[] {
  return found.filter((key) => key.provider !== undefined);
}

function fromExport(row: unknown, index: number, providers: readonly Provider[]): Found {
  const parsed = exported.safeParse(row);
  const bad = (sentence: string) => new Fault('invalid_request', { fields: { [`/${index}`]: sentence } });
  if (!parsed.success) throw bad('give provider and key');
  const { data } = parsed;
  const provider = providers.find((candidate) => candidate.id === data.provider);
  if (provider === undefined) throw bad('there is no such provider');
  const connection = data.connection ?? data.connection_name ?? data.name ?? 'default';
  if (!nameSchema.safeParse(connection).success) throw bad('the connection has no good name');
  const key = data.key ?? data.api_key ?? data.token ?? data.access_token;
  const fields = data.fields ?? (key === undefined ? undefined : fieldsFor(provider, key));
  if (fields === undefined || Object.keys(fields).length === 0) throw bad('give key, or fields');
  return { name: `${provider.id}/${connection}`, place: 'standard input', provider, connection, fields: new Secret(fields) };
}

function jsonOf(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault('invalid_request', { detail: 'Standard input is not valid JSON' });
  }
}

/** Connects one key; its fault instead of a rejection. */
export async function connectFound(
  server: Server,
  key: Found,
  force: boolean,
): Promise<{ readonly connection: string; readonly flow?: string; readonly fault?: Fault }> {
  const provider = key.provider?.id ?? '';
  const connection = `${provider}/${key.connection}`;
  try {
    const flow = await server.person.call('connection_begin', { body: { provider, name: key.connection, flow: 'api_key', force } });
    const done = await server.person.call('connection_key', { params: { flow: flow.id }, body: { fields: { ...key.fields.reveal() } } });
    return done.state.kind === 'connected' ? { connection, flow: flow.id } : { connection, fault: new Fault('upstream_sign_in_failed') };
  } catch (error) {
    if (error instanceof Fault) return { connection, fault: error };
    throw error;
  }
}
