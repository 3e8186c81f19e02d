import { endpointsOf } from './checks.ts';
import { digestOf } from './digest.ts';
import type { Auth, Provider } from './provider.ts';
import { hostsAt } from './tenants.ts';

const digests = new WeakMap<Provider, Map<string, string>>();

/**
 * Digest of what decides where a credential of this kind goes and how (SECURITY 7). A shipped definition may gain
 * operations or scopes without asking anybody; of an organization's own, every change counts.
 */
export function bindingDigest(provider: Provider, kind: string): string {
  const known = digests.get(provider)?.get(kind);
  if (known !== undefined) return known;
  const made = provider.source === 'organization' ? provider.digest : digestOf(bindingOf(provider, kind));
  const byKind = digests.get(provider) ?? new Map<string, string>();
  digests.set(provider, byKind.set(kind, made));
  return made;
}

function bindingOf(provider: Provider, kind: string): unknown {
  const auth = provider.auth.find((one) => one.kind === kind);
  return { hosts: provider.hosts, slots: provider.credential_slots, auth: auth === undefined ? null : wayOf(auth) };
}

function wayOf(auth: Auth): unknown {
  const injections = { inject: auth.inject, inject_on: auth.inject_on };
  if (auth.kind === 'api_key') return injections;
  return { ...injections, endpoints: endpointsOf(auth), client_authentication: auth.client_authentication };
}

/** Scheme, host and port of every place the credential may be sent to by a call; below a tenant suffix only these hosts. */
export function originsOf(provider: Provider, hosts: readonly string[]): readonly string[] {
  const origins = provider.hosts.flatMap((entry) =>
    hostsAt(entry, hosts).map((host) => `https://${host}:${entry.port}${entry.path ?? ''}`),
  );
  return [...new Set(origins)];
}
