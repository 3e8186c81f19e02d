import type { Alteration } from '#broker';
import { Fault } from '#kernel';
import type { ConnectionTokens } from './fields.ts';
import { endsHere, isAmong } from './fields.ts';
import type { RequestHead } from './head.ts';
import type { Target } from './target.ts';

/** The head that goes upstream, as an array of alternating names and values, and its target. */
export interface Altered {
  readonly origin: string;
  readonly fields: readonly string[];
}

/**
 * Puts a verdict on the wire (SECURITY 8): every credential slot of the host is cleared, then the values are set, then
 * placeholders are replaced where the provider takes them. What is not named is passed on byte for byte.
 * @throws {Fault} `placeholder_misplaced`, `credential_unavailable` when a value cannot stand in its slot
 */
export function alter(head: RequestHead, target: Target, tokens: ConnectionTokens, alteration: Alteration, keep: Keep): Altered {
  const fields = copyFields(head, tokens, alteration, keep);
  let origin = target.origin;
  if (changesTarget(alteration)) origin = alterTarget(target, alteration);
  setCookies(fields, alteration);
  for (const one of alteration.set) if (one.slot === 'header') setHeader(fields, one.name, one.value.reveal());
  if (alteration.replace.length > 0) origin = replacePlaceholders(fields, origin, alteration);
  return { origin, fields };
}

/** True for a field that goes on, beyond what the alteration says. */
export type Keep = (name: string, value: string) => boolean;

function copyFields(head: RequestHead, tokens: ConnectionTokens, alteration: Alteration, keep: Keep): string[] {
  const cleared = alteration.clear.headers;
  const fields: string[] = [];
  const { names, pairs } = head;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    if (endsHere(name, tokens)) continue;
    const pair = pairs[i] as readonly [string, string];
    const value = isAmong(cleared, name) ? whatIsReplaced(name, pair[1], alteration) : pair[1];
    if (value !== undefined && keep(name, value)) fields.push(pair[0], value);
  }
  return fields;
}

/** Of a field in a credential slot, what a placeholder stands in that is about to be replaced there: nothing of the program's own. */
function whatIsReplaced(name: string, value: string, { replace }: Alteration): string | undefined {
  if (replace.length === 0) return undefined;
  const slot: Slot = name === 'cookie' ? 'cookie' : 'header';
  const fitting = replace.filter((one) => one.slots.includes(slot));
  const parts = slot === 'cookie' ? value.split(';') : [value];
  const kept = parts.filter((part) =>
    fitting.some(({ placeholder }) => part.includes(placeholder) || basicPair(part).includes(placeholder)),
  );
  return kept.length === 0 ? undefined : kept.join(';').trim();
}

/** Replaces every field of that name, whatever its case, by one. */
function setHeader(fields: string[], name: string, value: string): void {
  removeHeader(fields, name);
  fields.push(name, wireText(value));
}

function removeHeader(fields: string[], name: string): void {
  for (let i = fields.length - 2; i >= 0; i -= 2) {
    const held = fields[i] as string;
    if (held.length === name.length && held.toLowerCase() === name) fields.splice(i, 2);
  }
}

/** A value as latin1 text of its UTF-8 bytes. @throws {Fault} `credential_unavailable` when it would break the line */
function wireText(value: string): string {
  let ascii = true;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if ((code < 32 && code !== 9) || code === 127) throw misfit();
    if (code > 127) ascii = false;
  }
  return ascii ? value : Buffer.from(value, 'utf8').toString('latin1');
}

const misfit = () => new Fault('credential_unavailable', { detail: 'The credential does not fit its slot' });

function changesTarget(alteration: Alteration): boolean {
  return alteration.clear.query.length > 0 || alteration.set.some((one) => one.slot === 'query' || one.slot === 'path');
}

function alterTarget(target: Target, alteration: Alteration): string {
  let { path, query } = target;
  const cleared = new Set(alteration.clear.query.map((name) => name.toLowerCase()));
  for (const one of alteration.set) if (one.slot === 'query') cleared.add(one.name.toLowerCase());
  query = withoutParameters(query, cleared);
  for (const one of alteration.set) {
    if (one.slot === 'path') path = one.value.reveal();
    if (one.slot === 'query')
      query += `${query === '' ? '' : '&'}${encodeURIComponent(one.name)}=${encodeURIComponent(one.value.reveal())}`;
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be there
  if (!path.startsWith('/') || /[\x00-\x20\x7f-\uffff#?\\]/.test(path)) throw misfit();
  const hadMark = target.origin.length > target.path.length;
  return query === '' && !(hadMark && target.query === '') ? path : `${path}?${query}`;
}

/** The query without parameters of these names; the others keep their bytes, order and separators. */
export function withoutParameters(query: string, names: ReadonlySet<string>): string {
  if (query === '' || names.size === 0) return query;
  let kept = '';
  let changed = false;
  for (const part of query.split(/(?=[&;])/)) {
    const bare = part.startsWith('&') || part.startsWith(';') ? part.slice(1) : part;
    const equals = bare.indexOf('=');
    if (names.has(parameterName(equals < 0 ? bare : bare.slice(0, equals)))) changed = true;
    else kept += kept === '' && changed ? bare : part;
  }
  return changed ? kept : query;
}

/** As lenient as any server reads it: decoded once, plus signs are spaces, case and brackets do not matter. */
function parameterName(raw: string): string {
  const decoded = raw
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return decoded.trim().replace(/\[.*$/, '').toLowerCase();
}

function setCookies(fields: string[], alteration: Alteration): void {
  const set = alteration.set.filter((one) => one.slot === 'cookie');
  if (set.length === 0 && alteration.clear.cookies.length === 0) return;
  const cleared = new Set([...alteration.clear.cookies, ...set.map((one) => one.name)]);
  const crumbs: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if ((fields[i] as string).toLowerCase() !== 'cookie') continue;
    for (const crumb of (fields[i + 1] as string).split(';')) {
      if (!cleared.has(crumb.split('=', 1)[0]?.trim() ?? '')) crumbs.push(crumb.trim());
    }
  }
  for (const one of set) crumbs.push(`${one.name}=${cookieText(one.value.reveal())}`);
  removeHeader(fields, 'cookie');
  const text = crumbs.filter((crumb) => crumb !== '').join('; ');
  if (text !== '') fields.push('Cookie', text);
}

function cookieText(value: string): string {
  if (/[;,\s"\\]/.test(value)) throw misfit();
  return wireText(value);
}

type Slot = Alteration['replace'][number]['slots'][number];

function replacePlaceholders(fields: string[], origin: string, alteration: Alteration): string {
  let changed = origin;
  for (const { placeholder, value, slots } of alteration.replace) {
    const text = value.reveal();
    changed = replaceInTarget(changed, placeholder, text, slots);
    for (let i = 0; i < fields.length; i += 2) {
      const slot: Slot = (fields[i] as string).toLowerCase() === 'cookie' ? 'cookie' : 'header';
      fields[i + 1] = replaceInField(fields[i + 1] as string, placeholder, text, slots.includes(slot), slot);
    }
  }
  return changed;
}

function replaceInField(held: string, placeholder: string, text: string, allowed: boolean, slot: Slot): string {
  const value = slot === 'cookie' ? cookieText : wireText;
  if (held.includes(placeholder)) {
    if (!allowed) throw new Fault('placeholder_misplaced');
    return held.replaceAll(placeholder, () => value(text));
  }
  const pair = basicPair(held);
  if (!pair.includes(placeholder)) return held;
  if (!allowed) throw new Fault('placeholder_misplaced');
  return held.slice(0, held.lastIndexOf(' ') + 1) + Buffer.from(pair.replaceAll(placeholder, () => text)).toString('base64');
}

/** `user:password` of a Basic credential (RFC 7617 §2); empty for any other value. */
function basicPair(held: string): string {
  const basic = /^basic +([A-Za-z0-9+/=_-]+)$/i.exec(held);
  return basic === null ? '' : Buffer.from(basic[1] as string, 'base64').toString('utf8');
}

function replaceInTarget(origin: string, placeholder: string, text: string, slots: readonly Slot[]): string {
  if (!origin.includes(placeholder)) return origin;
  const mark = origin.indexOf('?');
  const path = mark < 0 ? origin : origin.slice(0, mark);
  const query = mark < 0 ? '' : origin.slice(mark);
  if (path.includes(placeholder) && !slots.includes('path')) throw new Fault('placeholder_misplaced');
  if (query.includes(placeholder) && !slots.includes('query')) throw new Fault('placeholder_misplaced');
  // A colon may stand in a path segment, and some credentials hold one.
  const inPath = encodeURIComponent(text).replaceAll('%3A', ':');
  return path.replaceAll(placeholder, () => inPath) + query.replaceAll(placeholder, () => encodeURIComponent(text));
}
