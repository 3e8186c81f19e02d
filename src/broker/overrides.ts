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

/** Query parameters with the same power. */
const overridingParameters: ReadonlySet<string> = new Set(['_method', 'x-http-method-override', 'x-http-method', 'x-method-override']);

/** True if an upstream could read another method, path or host out of the call than its first line says (SECURITY 9). */
export function isOverridden(call: Pick<Call, 'headers' | 'query'>): boolean {
  for (const [name] of call.headers) {
    if ((name.charCodeAt(0) | 32) === 0x78 && overriding.has(asGateways(name))) return true;
  }
  return call.query.length > 7 && call.query.split(/[&;]/).some((part) => overridingParameters.has(parameterName(part)));
}

/** Gateways to CGI, WSGI and Rack give an underscore and a hyphen the same name (RFC 3875 §4.1.18). */
function asGateways(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

/** As leniently as any framework reads it: decoded, without its index, in whatever case. */
function parameterName(part: string): string {
  const raw = part.split('=', 1)[0] as string;
  const decoded = raw
    .replaceAll('+', ' ')
    .replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return decoded.trim().replace(/\[.*$/s, '').toLowerCase();
}
