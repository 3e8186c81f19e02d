import type { z } from 'zod';
import { Fault } from '#kernel';

export const emptyBody: Uint8Array = new Uint8Array();

/** The JSON of a body, strict about its type. An absent body is an empty object. @throws {Fault} `unsupported_media_type`, `invalid_request` */
export function jsonOf(contentType: string | undefined, body: Uint8Array): unknown {
  if (body.length === 0) return {};
  if (!/^application\/json(;\s*charset="?utf-8"?)?$/i.test(contentType ?? '')) throw new Fault('unsupported_media_type');
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new Fault('invalid_request', { detail: 'The body is not valid JSON' });
  }
}

export function isForm(contentType: string | undefined): boolean {
  return /^application\/x-www-form-urlencoded(;.*)?$/i.test(contentType ?? '');
}

/** The fields of a form; a repeated name gives its last value, and names ending in `[]` all of them. @throws {Fault} `unsupported_media_type` */
export function formOf(contentType: string | undefined, body: Uint8Array): Readonly<Record<string, string | readonly string[]>> {
  if (body.length > 0 && !isForm(contentType)) throw new Fault('unsupported_media_type');
  const pairs = new URLSearchParams(new TextDecoder().decode(body));
  const fields: Record<string, string | readonly string[]> = Object.create(null);
  for (const name of new Set(pairs.keys())) fields[name] = name.endsWith('[]') ? pairs.getAll(name) : (pairs.getAll(name).at(-1) ?? '');
  return fields;
}

/** The value as the schema gives it. @throws {Fault} `invalid_request` with a sentence per JSON pointer */
export function judge<S extends z.ZodType>(schema: S, value: unknown, at: string): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const fields: Record<string, string> = Object.create(null);
  for (const issue of parsed.error.issues) fields[`${at}${pointerOf(issue.path)}`] ??= issue.message;
  throw new Fault('invalid_request', { fields });
}

/** RFC 6901. */
function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
