import { carriesCalls, isAmbiguous } from './ambiguous-path.ts';
import type { CallShape, ProviderMatch } from './contract.ts';
import { claimsOf, type HostIndex, liesUnder } from './hosts.ts';
import { operationOf } from './operations.ts';
import type { HostEntry, Injection, Provider } from './provider.ts';
import { answersTokens } from './token-answers.ts';

/**
 * Providers that claim this call, the most specific first. Pure, no I/O. A path with two readings is claimed by
 * nobody who shares the host by path: whose credential it would carry is not certain.
 */
export function matchCall(index: HostIndex, call: CallShape): readonly ProviderMatch[] {
  const ambiguous = isAmbiguous(call.method, call.path);
  const plain = !ambiguous && !call.path.includes('%');
  const found: ProviderMatch[] = [];
  for (const { provider, entry } of claimsOf(index, call.host, call.port)) {
    if (entry.path !== undefined && (ambiguous || !liesUnder(call.path, entry.path))) continue;
    const operation = operationOf(provider, entry, call.method, call.path, plain);
    found.push({
      provider,
      entry,
      operation,
      ambiguous: ambiguous || carriesCalls(call.path, operation !== undefined),
      tokens: answersTokens(provider, call),
    });
  }
  return found;
}

/** How a credential of this kind goes on the wire at this entry; empty when the provider has no such credential. */
export function injectionsFor(provider: Provider, entry: HostEntry, kind: string): readonly Injection[] {
  const auth = provider.auth.find((one) => one.kind === kind);
  if (auth === undefined) return [];
  return entry.inject === undefined ? auth.inject : (auth.inject_on[entry.inject] ?? []);
}
