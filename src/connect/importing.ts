import { type ParseError, parse } from 'jsonc-parser';
import { Fault } from '#kernel';
import { isHostPattern } from './provider.ts';

/**
 * A definition as text (JSON, or JSON with comments and trailing commas), or already parsed; of our kind or of the
 * flat kind that other brokers keep: `hosts` or `host_url`, `oauth` with its addresses and scopes, `api_key` with header,
 * prefix and pattern, and the variables it exports. @throws {Fault} `provider_invalid`, with the safe form of an unsafe host
 */
export function asDefinition(input: unknown): unknown {
  const value = typeof input === 'string' ? parseText(input) : input;
  if (!isObject(value) || 'auth' in value) return value;
  return isForeign(value) ? imported(value) : value;
}

function parseText(text: string): unknown {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { allowTrailingComma: true });
  if (errors.length > 0) throw invalid({ '/': 'this is not JSON, nor JSON with comments' });
  return value;
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(fields: Readonly<Record<string, string>>): Fault {
  return new Fault('provider_invalid', { fields });
}

const foreignMembers = ['auth_type', 'oauth', 'oauth2', 'api_key', 'host_url', 'export', 'flow', 'flows', 'env'];

function isForeign(value: Members): boolean {
  return foreignMembers.some((name) => name in value);
}

/** The first member of these names that is there. */
function first(value: Members, ...names: readonly string[]): unknown {
  for (const name of names) if (value[name] !== undefined && value[name] !== null) return value[name];
  return undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function texts(value: unknown): readonly string[] {
  if (typeof value === 'string') return value.split(/[\s,]+/).filter((one) => one !== '');
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

function imported(value: Members): unknown {
  const auth = [oauthOf(value), apiKeyOf(value)].filter((one) => one !== undefined);
  const id = text(first(value, 'id', 'name', 'slug'))?.toLowerCase();
  const hosts = hostsOf(value);
  return {
    id,
    name: text(first(value, 'display_name', 'title', 'label', 'name')) ?? id,
    documentation:
      text(first(value, 'documentation', 'docs', 'docs_url', 'documentation_url', 'homepage')) ??
      `https://${hosts[0]?.host.replace('*.', '')}/`,
    hosts,
    auth,
    variables: variablesOf(value, auth.some((one) => one.kind === 'oauth2') ? 'access_token' : 'api_key'),
  };
}

function oauthOf(value: Members) {
  const given = first(value, 'oauth', 'oauth2');
  if (!isObject(given)) return undefined;
  const separator = text(first(given, 'scope_separator'));
  return {
    kind: 'oauth2' as const,
    flows: flowsOf(value, given),
    ...named('issuer', first(given, 'issuer', 'base_url')),
    ...named('authorization_endpoint', first(given, 'authorization_endpoint', 'authorization_url', 'authorize_url', 'auth_url')),
    ...named('token_endpoint', first(given, 'token_endpoint', 'token_url')),
    ...named('device_authorization_endpoint', first(given, 'device_authorization_endpoint', 'device_authorization_url', 'device_url')),
    ...named('revocation_endpoint', first(given, 'revocation_endpoint', 'revocation_url', 'revoke_url')),
    ...named('registration_endpoint', first(given, 'registration_endpoint', 'registration_url')),
    scopes: texts(first(given, 'scopes', 'scope')),
    ...(separator === ' ' || separator === ',' ? { scope_separator: separator } : {}),
    inject: [{ kind: 'bearer' }],
  };
}

function named(name: string, value: unknown): Readonly<Record<string, string>> {
  const found = text(value);
  return found === undefined ? {} : { [name]: found };
}

const flowNames: Readonly<Record<string, string>> = {
  pkce: 'pkce',
  authorization_code: 'pkce',
  dcr_pkce: 'dcr_pkce',
  dcr: 'dcr_pkce',
  device_code: 'device_code',
  device: 'device_code',
  client_credentials: 'client_credentials',
};

function flowsOf(value: Members, given: Members): readonly string[] {
  const asked = texts(first(value, 'flows', 'flow') ?? first(given, 'flows', 'flow')).flatMap(
    (name) => flowNames[name.toLowerCase()] ?? [],
  );
  const offered =
    first(given, 'device_authorization_endpoint', 'device_authorization_url', 'device_url') === undefined ? [] : ['device_code'];
  const flows = [...new Set([...asked, ...offered])];
  return flows.length === 0 ? ['pkce'] : flows;
}

function apiKeyOf(value: Members) {
  const given = first(value, 'api_key');
  if (!isObject(given)) return undefined;
  const header = text(first(given, 'header', 'header_name')) ?? 'Authorization';
  const prefix =
    text(first(given, 'prefix', 'header_prefix', 'value_prefix')) ?? (header.toLowerCase() === 'authorization' ? 'Bearer' : '');
  const pattern = text(first(given, 'pattern', 'key_pattern'));
  return {
    kind: 'api_key' as const,
    fields: [{ name: 'api_key', label: text(first(given, 'label')) ?? 'API key', ...(pattern === undefined ? {} : { pattern }) }],
    inject: [injectionOf(given, header, prefix)],
  };
}

function injectionOf(given: Members, header: string, prefix: string) {
  const parameter = text(first(given, 'query', 'query_param', 'query_parameter'));
  if (parameter !== undefined) return { kind: 'query', name: parameter };
  if (header.toLowerCase() === 'authorization' && prefix.trim().toLowerCase() === 'bearer') return { kind: 'bearer', part: 'api_key' };
  return { kind: 'header', name: header, prefix: prefix === '' || prefix.endsWith(' ') ? prefix : `${prefix} ` };
}

function variablesOf(value: Members, part: string): readonly unknown[] {
  const exported = first(value, 'export', 'exports', 'env', 'variables');
  const inner = isObject(exported) && isObject(exported.env) ? exported.env : exported;
  const names = isObject(inner) ? Object.values(inner).flatMap(texts) : texts(inner);
  return [...new Set(names)].map((name) => ({ name, part }));
}

/** Hosts as names, addresses or patterns; what could match somebody else's name is refused with its safe form. */
function hostsOf(value: Members): readonly SafeHost[] {
  const given = [...texts(first(value, 'hosts', 'host_urls')), ...texts(first(value, 'host', 'host_url', 'base_url'))];
  const fields: Record<string, string> = {};
  const hosts = given.flatMap((one, at) => {
    const read = readHost(one);
    if (!('unsafe' in read)) return [read];
    fields[`/hosts/${at}`] = read.unsafe;
    return [];
  });
  if (given.length === 0) fields['/hosts'] = 'name at least one host';
  if (Object.keys(fields).length > 0) throw invalid(fields);
  return hosts;
}

interface SafeHost {
  readonly host: string;
  readonly port?: number;
  readonly path?: string;
}

/** Reads one host of a foreign definition. */
export function readHost(given: string): SafeHost | { readonly unsafe: string } {
  const pattern = /^regex:(.*)$/i.exec(given)?.[1] ?? (/[\\^$()[\]|+?]/.test(given) ? given : undefined);
  if (pattern !== undefined) return { unsafe: `a regular expression can match names of strangers: use ${safeForm(pattern)}` };
  const address = /^https?:\/\//i.test(given) ? given : `https://${given}`;
  const name =
    address
      .replace(/^https?:\/\//i, '')
      .split(/[/:]/, 1)[0]
      ?.toLowerCase() ?? '';
  if (name.includes('*') && !/^\*\.[^*]+$/.test(name))
    return { unsafe: `this pattern can match names of strangers: use ${safeForm(name)}` };
  if (!isHostPattern(name)) return { unsafe: 'use a host name; addresses and user names are not hosts' };
  const url = new URL(address.replace('*.', 'any.'));
  const path = url.pathname.replace(/\/+$/, '');
  return { host: name, ...(url.port === '' ? {} : { port: Number(url.port) }), ...(path === '' ? {} : { path }) };
}

/** The names a pattern was probably meant for: the literal host, or every name below it. */
function safeForm(pattern: string): string {
  const literal = pattern
    .replace(/\\([.\-/])/g, '$1')
    .replace(/^[\^]*(https?:\/\/)?/i, '')
    .replace(/[$/].*$/, '')
    .toLowerCase();
  const tail = /[a-z0-9-]+(\.[a-z0-9-]+)+$/.exec(literal)?.[0];
  if (tail === undefined || !isHostPattern(tail)) return 'the exact host names';
  return tail === literal ? tail : `${tail} or *.${tail}`;
}
