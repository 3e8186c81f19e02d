import { Fault } from '#kernel';
import { type CheckOptions, checkDefinition } from './checks.ts';
import { digestOf } from './digest.ts';
import { type Provider, type ProviderDefinition, providerSchema } from './provider.ts';

/** A definition parsed and checked. @throws {Fault} `provider_invalid` with one sentence per JSON pointer */
export function parseDefinition(input: unknown, options: CheckOptions): ProviderDefinition {
  const definition = parseShape(input);
  const flaws = checkDefinition(definition, options);
  if (flaws.length > 0) throw new Fault('provider_invalid', { fields: Object.fromEntries(flaws) });
  return definition;
}

/** A definition as the schema has it. @throws {Fault} `provider_invalid` with one sentence per JSON pointer */
export function parseShape(input: unknown): ProviderDefinition {
  const parsed = providerSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => [`/${issue.path.map(String).join('/')}`, sentenceOf(issue)] as const);
  throw new Fault('provider_invalid', { fields: Object.fromEntries(fields) });
}

/** Zod names unknown members in its message; those are input, so only their place is told. */
function sentenceOf(issue: { readonly code: string; readonly message: string }): string {
  return issue.code === 'unrecognized_keys' ? 'there are members that a definition does not have' : issue.message;
}

/** The definition with where it came from and its digest, which is computed when somebody first asks. */
export function providerOf(definition: ProviderDefinition, source: Provider['source']): Provider {
  let digest: string | undefined;
  return Object.freeze({
    ...definition,
    source,
    get digest() {
      digest ??= digestOf(definition);
      return digest;
    },
  });
}
