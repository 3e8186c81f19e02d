import { isOverridden } from '#broker';
import { Fault } from '#kernel';
import type { Fields } from './head.ts';
import { valueAt } from './target.ts';

/** Fields that end here, on either side (RFC 9110 §7.6.1), and those that are between a program and us. */
const dropped: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-authentication-info',
  'te',
  'transfer-encoding',
  'upgrade',
  // An answer's offer to come back over HTTP/3, past us.
  'alt-svc',
]);

/** Fields that keep the message in one piece; `Connection` may not take them away. */
const structural: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-encoding',
  'content-type',
  'trailer',
]);

/** What `Connection` says, in lower case. */
export interface ConnectionTokens {
  readonly close: boolean;
  readonly keepAlive: boolean;
  readonly upgrade: boolean;
  /** Fields it names. */
  readonly named: readonly string[];
}

const nothing: ConnectionTokens = Object.freeze({ close: false, keepAlive: false, upgrade: false, named: [] });
const keepAlive: ConnectionTokens = Object.freeze({ ...nothing, keepAlive: true });
const close: ConnectionTokens = Object.freeze({ ...nothing, close: true });

/** @throws {Fault} `bad_framing` when it names a field that frames the message */
export function connectionTokens(fields: Fields): ConnectionTokens {
  const at = fields.names.indexOf('connection');
  if (at < 0) return nothing;
  const first = valueAt(fields, at);
  if (fields.names.indexOf('connection', at + 1) < 0) {
    if (first === 'keep-alive' || first === 'Keep-Alive') return keepAlive;
    if (first === 'close') return close;
  }
  const tokens: string[] = [];
  for (let i = at; i < fields.names.length; i++) {
    if (fields.names[i] === 'connection') tokens.push(...valueAt(fields, i).toLowerCase().split(','));
  }
  return sorted(tokens.map((token) => token.trim()).filter((token) => token !== ''));
}

function sorted(tokens: readonly string[]): ConnectionTokens {
  if (tokens.some((token) => structural.has(token))) {
    throw new Fault('bad_framing', { detail: 'Connection names a field that frames the message' });
  }
  const named = tokens.filter((token) => token !== 'close' && token !== 'keep-alive' && token !== 'upgrade');
  return { close: tokens.includes('close'), keepAlive: tokens.includes('keep-alive'), upgrade: tokens.includes('upgrade'), named };
}

/** True for a field that does not pass from one side to the other. `name` is lower-case. */
export function endsHere(name: string, tokens: ConnectionTokens): boolean {
  if (dropped.has(name)) return true;
  if (name.charCodeAt(0) === 112 && name.startsWith('proxy-')) return true;
  if (name.charCodeAt(0) === 103 && name.startsWith('gatehouse-')) return true;
  return tokens.named.length > 0 && tokens.named.includes(name);
}

/** Whether a lower-case name is one of these, as gateways read it that give an underscore and a hyphen the same name (RFC 3875 §4.1.18). */
export function isAmong(names: readonly string[], name: string): boolean {
  return names.includes(name) || (name.includes('_') && names.includes(name.replaceAll('_', '-')));
}

/** Trailer fields that would have changed how the message is read or who it is from (RFC 9110 §6.5.1). */
const notInTrailers: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-type',
  'content-range',
  'host',
  'authorization',
  'cookie',
  'set-cookie',
  'trailer',
  'www-authenticate',
]);

/**
 * Trailer fields that may pass: no credential slot either, nor what names another method, path or host, since some
 * servers add trailers to their headers.
 */
export function passingTrailers(trailers: Fields, cleared: readonly string[] = []): Fields {
  const pairs: (readonly [string, string])[] = [];
  const names: string[] = [];
  for (let i = 0; i < trailers.names.length; i++) {
    const name = trailers.names[i] as string;
    if (notInTrailers.has(name) || endsHere(name, nothing) || isAmong(cleared, name) || isOverridden({ headers: [[name, '']], query: '' }))
      continue;
    pairs.push(trailers.pairs[i] as readonly [string, string]);
    names.push(name);
  }
  return { pairs, names };
}
