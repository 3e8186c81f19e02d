import type { Credential, Injection } from '#connect';
import { Fault, Secret } from '#kernel';
import type { Alteration, SlotValue } from './contract.ts';

type Parts = Credential['parts'];

/** What one injection does to a call. `slot` names it for the record: `header:authorization`. */
export interface Effect {
  readonly slot: string;
  readonly set?: SlotValue;
  /** Which segment of the path is the credential's. */
  readonly path?: PathSlot;
  readonly replace?: { readonly part: string; readonly value: Secret<string>; readonly slots: Alteration['replace'][number]['slots'] };
  /** Every plain form that goes on the wire. */
  readonly scrub: readonly Secret<string>[];
}

/** Where in a path the credential stands. */
export interface PathShape {
  readonly pattern: RegExp;
  readonly template: string;
}

export interface PathSlot extends PathShape {
  readonly value: Secret<string>;
}

export function pathShape(template: string): PathShape {
  return { pattern: patternOf(template), template };
}

type Injectors = { readonly [K in Injection['kind']]: (injection: Extract<Injection, { kind: K }>, parts: Parts) => Effect };

/** The only list of injectors. */
const injectors: Injectors = {
  bearer: ({ part }, parts) => headerEffect('authorization', 'Bearer ', partOf(parts, part)),
  header: ({ name, prefix, part }, parts) => headerEffect(name.toLowerCase(), prefix, partOf(parts, part)),
  basic: ({ username, password }, parts) => {
    const pair = `${filled(username, parts)}:${filled(password, parts)}`;
    const encoded = new Secret(Buffer.from(pair, 'utf8').toString('base64'));
    const value = new Secret(`Basic ${encoded.reveal()}`);
    const scrub = [...secretsIn(username, parts), ...secretsIn(password, parts), encoded];
    return { slot: 'header:authorization', set: { slot: 'header', name: 'authorization', value }, scrub };
  },
  query: ({ name, part }, parts) => {
    const value = partOf(parts, part);
    return { slot: `query:${name}`, set: { slot: 'query', name, value }, scrub: [value] };
  },
  path: ({ template, part }, parts) => {
    const value = partOf(parts, part);
    return { slot: 'path', path: { ...pathShape(template), value }, scrub: [value] };
  },
  cookie: ({ name, part }, parts) => {
    const value = partOf(parts, part);
    return { slot: `cookie:${name}`, set: { slot: 'cookie', name, value }, scrub: [value] };
  },
  placeholder: ({ slots, part }, parts) => {
    const value = partOf(parts, part);
    return { slot: 'placeholder', replace: { part, value, slots }, scrub: [value] };
  },
};

/** @throws {Fault} `credential_unavailable` when the credential lacks a part */
export function effectOf(injection: Injection, parts: Parts): Effect {
  const injector = injectors[injection.kind] as (injection: Injection, parts: Parts) => Effect;
  return injector(injection, parts);
}

function headerEffect(name: string, before: string, secret: Secret<string>): Effect {
  const value = before === '' ? secret : new Secret(before + secret.reveal());
  return { slot: `header:${name}`, set: { slot: 'header', name, value }, scrub: [secret] };
}

function partOf(parts: Parts, name: string): Secret<string> {
  const part = Object.hasOwn(parts, name) ? parts[name] : undefined;
  if (!part) throw new Fault('credential_unavailable', { detail: 'The credential lacks a part that the provider takes' });
  return part;
}

const named = /\{([a-z][a-z0-9_]{0,31})\}/g;

function filled(template: string, parts: Parts): string {
  return template.replace(named, (_, name: string) => partOf(parts, name).reveal());
}

function secretsIn(template: string, parts: Parts): Secret<string>[] {
  return [...template.matchAll(named)].map((match) => partOf(parts, match[1] as string));
}

/** `/bot{api_key}/` matches `/bot` and what follows it in that segment, at the start of a path. */
function patternOf(template: string): RegExp {
  const text = template.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\\\{[a-z][a-z0-9_]{0,31}\\\}/, '[^/]*');
  return new RegExp(`^${text}`);
}

/** The path with the credential in its segment; undefined when the path has no such segment. */
export function injectPath(path: string, slot: PathSlot): Secret<string> | undefined {
  const match = slot.pattern.exec(path);
  if (!match) return undefined;
  // A colon may stand in a segment, and some keys hold one (RFC 3986 §3.3).
  const text = encodeURIComponent(slot.value.reveal()).replaceAll('%3A', ':');
  return new Secret(slot.template.replace(/\{[a-z][a-z0-9_]{0,31}\}/, () => text) + path.slice(match[0].length));
}

/** The path as it may be shown: the template stands where a credential is. */
export function shownPath(path: string, slots: readonly PathShape[]): string {
  for (const { pattern, template } of slots) if (pattern.test(path)) return path.replace(pattern, () => template);
  return path;
}
