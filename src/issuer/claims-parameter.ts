import { z } from 'zod';
import { Fault } from '#kernel';

const wanted = z
  .object({ essential: z.boolean(), value: z.unknown(), values: z.array(z.unknown()) })
  .partial()
  .nullable();
const members = z.record(z.string(), wanted);
const shape = z.object({ id_token: members.nullish(), userinfo: members.nullish() });

type Wanted = z.output<typeof wanted>;

/** What the `claims` parameter asks for (OpenID Connect Core §5.5). Members that are not understood are ignored. */
export interface ClaimsParameter {
  readonly idToken: Readonly<Record<string, Wanted>>;
  readonly userinfo: Readonly<Record<string, Wanted>>;
}

/** @throws {Fault} `invalid_request` */
export function readClaims(text: string | undefined): ClaimsParameter {
  if (text === undefined) return { idToken: {}, userinfo: {} };
  const parsed = shape.safeParse(json(text));
  if (!parsed.success) throw malformed();
  return { idToken: parsed.data.id_token ?? {}, userinfo: parsed.data.userinfo ?? {} };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed();
  }
}

function malformed(): Fault {
  return new Fault('invalid_request', { detail: 'The parameter claims is not as OpenID Connect Core 5.5 has it' });
}

/** The values that a claim must be one of; none where any will do. @throws {Fault} `invalid_request` */
export function valuesOf(asked: Wanted | undefined): readonly string[] {
  const values = [...(asked?.value === undefined ? [] : [asked.value]), ...(asked?.values ?? [])];
  if (values.every((value) => typeof value === 'string')) return values;
  throw malformed();
}

/** Claims about a person, and the scope under which they are told. */
export const claimScopes: Readonly<Record<string, string>> = Object.freeze({ name: 'profile', email: 'email' });
