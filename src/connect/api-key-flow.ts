import { Fault, type Secret } from '#kernel';
import type { StoredCredential } from './connection.ts';
import type { ApiKeyAuth, Field, Injection } from './provider.ts';

export type Fields = Readonly<Record<string, Secret<string>>>;

/**
 * Checks what a person typed against the fields of the provider; `found` is what is wrong with the fields that are no part
 * of the credential. @throws {Fault} `invalid_request`, one sentence per field
 */
export function credentialOfFields(
  auth: ApiKeyAuth,
  given: Fields,
  now: number,
  found: Readonly<Record<string, string>> = {},
): StoredCredential {
  const problems: Record<string, string> = { ...found };
  const parts: Record<string, string> = {};
  for (const field of auth.fields) {
    const value = given[field.name]?.reveal().trim() ?? '';
    const problem = problemOf(auth, field, value);
    if (problem !== undefined) problems[`/fields/${field.name}`] = problem;
    parts[field.name] = value;
  }
  const known = new Set(auth.fields.map((field) => field.name));
  if (Object.keys(given).some((name) => !known.has(name))) problems['/fields'] = 'there is a field that this provider does not have';
  if (Object.keys(problems).length > 0) throw new Fault('invalid_request', { fields: problems });
  return { parts, renewal: 'none', obtained_at: now };
}

function problemOf(auth: ApiKeyAuth, field: Field, value: string): string | undefined {
  if (value === '') return 'this is needed';
  if (value.length > 16_384) return 'this is too long';
  if (!fits(auth, field, value)) return 'it has characters that cannot be sent';
  if (field.pattern !== undefined && !new RegExp(field.pattern, 'u').test(value))
    return 'what this provider gives out looks different: copy all of it, and nothing else';
  return undefined;
}

/** In a header or cookie only printable ASCII can stand; elsewhere anything but control characters. */
function fits(auth: ApiKeyAuth, field: Field, value: string): boolean {
  const lists = [auth.inject, ...Object.values(auth.inject_on)].flat();
  const inHeader = lists.some((injection) => goesInHeader(injection) && injection.part === field.name);
  return inHeader ? /^[\x20-\x7e]+$/.test(value) : !/\p{Cc}/u.test(value);
}

function goesInHeader(injection: Injection): injection is Extract<Injection, { part: string }> {
  return injection.kind === 'bearer' || injection.kind === 'header' || injection.kind === 'cookie';
}
