import type { Call } from './contract.ts';

/** Headers by which frameworks let a request be another one than it says. */
const overriding: ReadonlySet<string> = new Set([
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-method',
  'x-original-url',
  'x-rewrite-url',
  'x-forwarded-prefix',
]);

/** True if an upstream could read another method or path out of the call than its first line says (RULES 9). */
export function isOverridden(call: Pick<Call, 'headers' | 'query'>): boolean {
  for (const [name] of call.headers) {
    if ((name.charCodeAt(0) | 32) === 0x78 && overriding.has(name.toLowerCase())) return true;
  }
  return call.query.length > 7 && /(^|[&;])(_|%5f)method=/i.test(call.query);
}
