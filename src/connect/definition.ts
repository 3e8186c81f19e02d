import { Fault } from '#kernel';
import { type CheckOptions, checkDefinition } from './checks.ts';
import { digestOf } from './digest.ts';
import { type Provider, type ProviderDefinition, providerSchema } from './provider.ts';

/** A definition parsed and checked. @throws {Fault} `provider_invalid` with one sentence per JSON pointer */
export function parseDefinition(input: unknown, options: CheckOptions): ProviderDefinition {
  const parsed = providerSchema.safeParse(input);
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => [`/${issue.path.map(String).join('/')}`, sentenceOf(issue)] as const);
    throw new Fault('provider_invalid', { fields: Object.fromEntries(fields) });
  }
  const flaws = checkDefinition(parsed.data, options);
  if (flaws.length > 0) throw new Fault('provider_invalid', { fields: Object.fromEntries(flaws) });
  return parsed.data;
}

/** Zod names unknown members in its message; those are input, so only their place is told. */
function sentenceOf(issue: { readonly code: string; readonly message: string }): string {
  return issue.code === 'unrecognized_keys' ? 'there are members that a definition does not have' : issue.message;
}

/** The definition with where it came from and its digest. */
export function providerOf(definition: ProviderDefinition, source: Provider['source']): Provider {
  return Object.freeze({ ...definition, source, digest: digestOf(definition) });
}
