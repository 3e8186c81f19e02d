import type { Call } from './contract.ts';

/** Headers by which frameworks and the servers before them let a request be another one than it says. */
const overriding: ReadonlySet<string> = new Set([
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-method',
  'x-forwarded-method',
  'x-original-url',
  'x-original-uri',
  'x-rewrite-url',
  'x-forwarded-uri',
  'x-forwarded-path',
  'x-forwarded-prefix',
  'x-forwarded-host',
  'x-original-host',
  'x-host',
]);

/** Parameters with the same power, beside `_method`. */
const overridingParameters: ReadonlySet<string> = new Set(['x-http-method-override', 'x-http-method', 'x-method-override']);

/** True if an upstream could read another method, path or host out of the call than its first line says (SECURITY 9). */
export function isOverridden(call: Pick<Call, 'headers' | 'query'>): boolean {
  for (const [name, value] of call.headers) {
    const first = name.charCodeAt(0) | 32;
    if (first === 0x78 && overriding.has(asGateways(name))) return true;
    // A body of this kind is a batch of whole requests.
    if (first === 0x63 && name.length === 12 && /multipart\/mixed/i.test(value)) return true;
  }
  return call.query.length > 7 && call.query.split(/[&;]/).some((part) => isOverridingParameter(part.split('=', 1)[0] as string));
}

/** Gateways to CGI, WSGI and Rack give an underscore and a hyphen the same name (RFC 3875 §4.1.18). */
function asGateways(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

/**
 * Whether a parameter, still encoded, can name another method. As leniently as any framework reads it: decoded, in whatever
 * case, without its index; PHP makes an underscore of a dot, a space or a bracket.
 */
export function isOverridingParameter(raw: string): boolean {
  const decoded = raw
    .replaceAll('+', ' ')
    .replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  const name = decoded.trimStart().toLowerCase();
  return /^[_.[]method([\s\0[\]].*)?$/s.test(name) || overridingParameters.has(name.replace(/[[\s\0].*$/s, '').replaceAll('_', '-'));
}

/** How the body of a POST can be a form to its reader; `sealed`: one that is compressed. */
export type Form = 'urlencoded' | 'multipart' | 'sealed';

/**
 * Which form the call could bring, in which a field could name another method: frameworks look for one in a POST, some also
 * when no type is given. Undefined: none.
 */
export function formOf({ method, headers }: Pick<Call, 'method' | 'headers'>): Form | undefined {
  if (method !== 'POST') return undefined;
  const types: string[] = [];
  let coded = false;
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (lower === 'content-type') types.push(value.toLowerCase());
    if (lower === 'content-encoding' && value.trim().toLowerCase() !== 'identity') coded = true;
  }
  const type = types.join();
  const multipart = type.includes('multipart/');
  if (!multipart && type !== '' && !type.includes('urlencoded')) return undefined;
  if (coded) return 'sealed';
  return multipart ? 'multipart' : 'urlencoded';
}
