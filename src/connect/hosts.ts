import type { HostEntry, Provider } from './provider.ts';

/** A provider and the entry of its hosts that claims a call. */
export interface Claim {
  readonly provider: Provider;
  readonly entry: HostEntry;
}

/** Claims by host: exact names in one map, suffixes in another, walked label by label. No regular expressions. */
export interface HostIndex {
  readonly exact: ReadonlyMap<string, readonly Claim[]>;
  readonly suffix: ReadonlyMap<string, readonly Claim[]>;
}

export function indexHosts(providers: Iterable<Provider>): HostIndex {
  const exact = new Map<string, Claim[]>();
  const suffix = new Map<string, Claim[]>();
  for (const provider of providers)
    for (const entry of provider.hosts) {
      const wide = entry.host.startsWith('*.');
      const key = `${wide ? entry.host.slice(2) : entry.host}:${entry.port}`;
      const map = wide ? suffix : exact;
      const list = map.get(key) ?? [];
      if (list.length === 0) map.set(key, list);
      list.push({ provider, entry });
    }
  for (const list of [...exact.values(), ...suffix.values()]) list.sort(longestPathFirst);
  return { exact, suffix };
}

/** The longest path first; the shipped one first among equals. */
function longestPathFirst(a: Claim, b: Claim): number {
  const byPath = (b.entry.path?.length ?? 0) - (a.entry.path?.length ?? 0);
  return byPath !== 0 ? byPath : a.provider.source.localeCompare(b.provider.source) || a.provider.id.localeCompare(b.provider.id);
}

/**
 * Every claim on a host and port: the exact name first, then suffixes from the longest. `host` is lower-case, without
 * port; anything that is not a plain name (a trailing dot, an address) is claimed by nobody.
 */
export function claimsOf(index: HostIndex, host: string, port: number): readonly Claim[] {
  const found: Claim[] = [...(index.exact.get(`${host}:${port}`) ?? [])];
  for (let dot = host.indexOf('.'); dot > 0; dot = host.indexOf('.', dot + 1)) {
    const claims = index.suffix.get(`${host.slice(dot + 1)}:${port}`);
    if (claims !== undefined && isPlainName(host)) found.push(...claims);
  }
  return found;
}

function isPlainName(host: string): boolean {
  return host.length <= 253 && /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]+$/.test(host);
}

/** Whether `path` is the prefix or lies under it, on a segment boundary. */
export function liesUnder(path: string, prefix: string | undefined): boolean {
  if (prefix === undefined) return true;
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f);
}
