import { compilePattern } from '#api';
import { isFault } from '#kernel';
import type { ApiKeyAuth, Auth, Field, HostEntry, Injection, OauthAuth, Operation, ProviderDefinition } from './provider.ts';
import { isTenant } from './tenants.ts';

/** A flaw of a definition: where (a JSON pointer) and what to do about it. */
export type Flaw = readonly [pointer: string, sentence: string];

export interface CheckOptions {
  /** Shipped with the product: every host has a public name and every endpoint is https. */
  readonly shipped: boolean;
}

/** What the schema cannot say: parts that exist, endpoints a flow needs, hosts and operations that are not ambiguous. */
export function checkDefinition(definition: ProviderDefinition, options: CheckOptions): readonly Flaw[] {
  return [
    ...checkHosts(definition, options),
    ...definition.auth.flatMap((auth, at) => checkAuth(definition, auth, at, options)),
    ...checkOneOfEachKind(definition),
    ...checkVariables(definition),
    ...checkOperations(definition),
  ];
}

/** Suffixes under which strangers can register names: `*.` before them would send a credential to anybody. */
const openSuffixes = new Set(
  (
    'co.uk com.au co.jp com.br co.nz co.in co.za com.cn com.tr com.mx github.io gitlab.io herokuapp.com vercel.app netlify.app pages.dev ' +
    'workers.dev web.app firebaseapp.com appspot.com run.app cloudfunctions.net amazonaws.com cloudfront.net azurewebsites.net ' +
    'cloudapp.net windows.net onrender.com fly.dev railway.app ngrok.io ngrok.app ngrok-free.app repl.co glitch.me surge.sh ' +
    'deno.dev trycloudflare.com loca.lt duckdns.org blogspot.com wordpress.com googleusercontent.com'
  ).split(' '),
);

function checkHosts(definition: ProviderDefinition, options: CheckOptions): Flaw[] {
  const flaws: Flaw[] = [];
  const seen = new Set<string>();
  definition.hosts.forEach((entry, at) => {
    const pointer = `/hosts/${at}`;
    const key = hostKey(entry);
    if (seen.has(key)) flaws.push([pointer, 'this host, port and path is named twice']);
    seen.add(key);
    if (entry.host.startsWith('*.') && openSuffixes.has(entry.host.slice(2)))
      flaws.push([`${pointer}/host`, 'anybody can have a name under this suffix: name the exact host']);
    flaws.push(...checkTenant(definition, entry, pointer, options));
    if (options.shipped && !entry.host.includes('.')) flaws.push([`${pointer}/host`, 'a shipped provider has public host names']);
    if (entry.inject !== undefined && definition.auth.some((auth) => auth.inject_on[entry.inject ?? ''] === undefined))
      flaws.push([`${pointer}/inject`, 'every way to authenticate needs a list of this name in inject_on']);
  });
  return flaws;
}

/** A suffix that ships says whose the names below it are; the field that asks for them has a name of its own. */
function checkTenant(definition: ProviderDefinition, entry: HostEntry, pointer: string, options: CheckOptions): Flaw[] {
  if (!entry.host.startsWith('*.')) return entry.tenant === undefined ? [] : [[`${pointer}/tenant`, 'only a suffix has tenants']];
  if (options.shipped && entry.tenant === undefined)
    return [[`${pointer}/tenant`, "say true when each name below it is another customer's, false when all are the provider's"]];
  const taken = isTenant(entry) && definition.auth.some((auth) => auth.kind === 'api_key' && partsOf(auth).includes('host'));
  return taken ? [[pointer, 'a field called host is asked for already: give the field of yours another name']] : [];
}

/** One text per (host, port, path): what two providers may not share. */
export function hostKey(entry: { readonly host: string; readonly port: number; readonly path?: string | undefined }): string {
  return `${entry.host}:${entry.port}${entry.path ?? ''}`;
}

function checkOneOfEachKind(definition: ProviderDefinition): Flaw[] {
  const kinds = definition.auth.map((auth) => auth.kind);
  return new Set(kinds).size === kinds.length ? [] : [['/auth', 'name each kind of authentication once']];
}

function checkAuth(definition: ProviderDefinition, auth: Auth, at: number, options: CheckOptions): Flaw[] {
  const pointer = `/auth/${at}`;
  const parts = partsOf(auth);
  const lists: [string, readonly Injection[]][] = [
    ['inject', auth.inject],
    ...Object.entries(auth.inject_on).map(([name, list]): [string, readonly Injection[]] => [`inject_on/${name}`, list]),
  ];
  const injections = lists.flatMap(([name, list]) => list.flatMap((one, i) => checkInjection(one, parts, `${pointer}/${name}/${i}`)));
  const unused = Object.keys(auth.inject_on).filter((name) => !definition.hosts.some((entry) => entry.inject === name));
  const own = auth.kind === 'api_key' ? checkFields(auth, pointer) : checkOauth(auth, pointer, options);
  return [...injections, ...unused.map((name): Flaw => [`${pointer}/inject_on/${name}`, 'no host names this list']), ...own];
}

/** The parts a credential of this kind has. */
export function partsOf(auth: Auth): readonly string[] {
  return auth.kind === 'api_key' ? auth.fields.map((field) => field.name) : ['access_token', 'client_id'];
}

/** Headers that carry framing or routing; a credential in one would change what the request is. */
const unfitHeaders = new Set(
  (
    'host connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length content-type content-encoding expect ' +
    'proxy-authorization proxy-authenticate accept-encoding range forwarded via'
  ).split(' '),
);

function checkInjection(injection: Injection, parts: readonly string[], pointer: string): Flaw[] {
  const flaws: Flaw[] = injectedParts(injection)
    .filter((part) => !parts.includes(part))
    .map((): Flaw => [pointer, `it names a part that this credential does not have; it has: ${parts.join(', ')}`]);
  if (injection.kind === 'header' && unfitHeaders.has(injection.name.toLowerCase()))
    flaws.push([`${pointer}/name`, 'this header frames the message and cannot carry a credential']);
  if (injection.kind === 'path' && !injection.template.includes(`{${injection.part}}`))
    flaws.push([`${pointer}/template`, 'the template does not contain the part it is for']);
  return flaws;
}

/** The parts of the credential that an injection puts on the wire. */
export function injectedParts(injection: Injection): readonly string[] {
  if (injection.kind !== 'basic') return [injection.part];
  return [...`${injection.username}:${injection.password}`.matchAll(/\{([a-z][a-z0-9_]*)\}/g)].map((match) => match[1] ?? '');
}

function checkFields(auth: ApiKeyAuth, pointer: string): Flaw[] {
  const flaws: Flaw[] = auth.fields.flatMap((field, at) => checkFieldPattern(field, `${pointer}/fields/${at}/pattern`));
  if (new Set(auth.fields.map((field) => field.name)).size !== auth.fields.length)
    flaws.push([`${pointer}/fields`, 'a field is named twice']);
  return flaws;
}

/** Patterns come from strangers, so only those are taken that need linear or at most quadratic time. */
function checkFieldPattern(field: Field, pointer: string): Flaw[] {
  if (field.pattern === undefined) return [];
  const unbounded = (field.pattern.replaceAll(/\\.|\[(?:\\.|[^\]])*\]/g, 'x').match(/[*+]|\{\d*,\}/g) ?? []).length;
  if (unbounded > 1 || /\)[*+{]|\\[1-9k]|\(\?[=!<]/.test(field.pattern))
    return [[pointer, 'use a plain pattern: literals, classes and one repetition, such as ^key_[a-z0-9]{20,}$']];
  try {
    new RegExp(field.pattern, 'u');
    return [];
  } catch {
    return [[pointer, 'this is not a regular expression']];
  }
}

const needed: Readonly<Record<OauthAuth['flows'][number], readonly (keyof OauthAuth)[]>> = {
  pkce: ['authorization_endpoint', 'token_endpoint'],
  dcr_pkce: ['authorization_endpoint', 'token_endpoint', 'registration_endpoint'],
  device_code: ['device_authorization_endpoint', 'token_endpoint'],
  client_credentials: ['token_endpoint'],
};

function checkOauth(auth: OauthAuth, pointer: string, options: CheckOptions): Flaw[] {
  const flaws: Flaw[] = endpointsOf(auth).flatMap(([name, url]) => checkEndpoint(url, `${pointer}/${name}`, options));
  if (auth.issuer !== undefined) return flaws;
  for (const flow of auth.flows)
    for (const name of needed[flow])
      if (auth[name] === undefined) flaws.push([`${pointer}/${name}`, 'a flow needs this endpoint, or an issuer to find it']);
  return flaws;
}

/** Every address a flow or refresh may send a credential to. */
export function endpointsOf(auth: OauthAuth): readonly (readonly [name: string, url: string])[] {
  const named = [
    ['issuer', auth.issuer],
    ['authorization_endpoint', auth.authorization_endpoint],
    ['token_endpoint', auth.token_endpoint],
    ['refresh_endpoint', auth.refresh_endpoint],
    ['device_authorization_endpoint', auth.device_authorization_endpoint],
    ['revocation_endpoint', auth.revocation_endpoint],
    ['registration_endpoint', auth.registration_endpoint],
    ['userinfo/url', auth.userinfo?.url],
  ] as const;
  return named.flatMap(([name, url]) => (url === undefined ? [] : [[name, url] as const]));
}

function checkEndpoint(text: string, pointer: string, options: CheckOptions): Flaw[] {
  return endpointIsSafe(text, !options.shipped) ? [] : [[pointer, 'use an https address without user name or fragment']];
}

/** Https, or http to loopback where `loopback` allows it (SECURITY 25); no user name, no fragment. */
export function endpointIsSafe(text: string, loopback: boolean): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username !== '' || url.password !== '' || url.hash !== '') return false;
  return url.protocol === 'https:' || (loopback && url.protocol === 'http:' && isLoopbackName(url.hostname));
}

export function isLoopbackName(hostname: string): boolean {
  return hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

function checkVariables(definition: ProviderDefinition): Flaw[] {
  const parts = new Set(definition.auth.flatMap(partsOf));
  return definition.variables.flatMap((variable, at): Flaw[] => {
    if ((variable.part === undefined) === (variable.value === undefined)) return [[`/variables/${at}`, 'give either part or value']];
    if (variable.part !== undefined && !parts.has(variable.part))
      return [[`/variables/${at}/part`, 'no way to authenticate has this part']];
    return [];
  });
}

function checkOperations(definition: ProviderDefinition): Flaw[] {
  const flaws: Flaw[] = [];
  const ids = new Set<string>();
  const hosts = new Set(definition.hosts.map((entry) => entry.host));
  const taken = new Map<string, string>();
  definition.operations.forEach((operation, at) => {
    const pointer = `/operations/${at}`;
    if (ids.has(operation.id)) flaws.push([`${pointer}/id`, 'this id is used twice']);
    ids.add(operation.id);
    if (operation.hosts?.some((host) => !hosts.has(host)) === true)
      flaws.push([`${pointer}/hosts`, 'this host is not one of the provider']);
    flaws.push(...checkPatterns(operation, pointer, taken));
  });
  return flaws;
}

/** Two operations may not claim the same method and path on the same hosts: a call would have two meanings. */
function checkPatterns(operation: Operation, pointer: string, taken: Map<string, string>): Flaw[] {
  return operation.match.flatMap((pattern, at): Flaw[] => {
    const where = `${pointer}/match/${at}`;
    try {
      compilePattern(pattern);
    } catch (error) {
      if (!isFault(error)) throw error;
      return [[where, error.message]];
    }
    const keys = (pattern.methods.length === 0 ? ['*'] : pattern.methods).map(
      (m) => `${operation.hosts?.join() ?? ''} ${m} ${pattern.path}`,
    );
    const clash = keys.some((key) => (taken.get(key) ?? operation.id) !== operation.id);
    for (const key of keys) taken.set(key, operation.id);
    return clash ? [[where, 'another operation claims the same method and path']] : [];
  });
}
