import type { Secret } from '#kernel';
import { injectionsFor } from './match.ts';
import type { Field, HostEntry, Provider } from './provider.ts';

/** Who has a name below `*.example.com`: another customer each time, unless the definition says that all are the provider's. */
export function isTenant(entry: Pick<HostEntry, 'host' | 'tenant'>): boolean {
  return entry.host.startsWith('*.') && entry.tenant !== false;
}

/**
 * Whether this connection may be used at `host`, which `entry` claims. A name below a tenant suffix is somebody else's
 * unless the owner named it, so a credential goes there only when they did (SECURITY 7).
 */
export function isPinned(connection: { readonly hosts: readonly string[] }, entry: HostEntry, host: string): boolean {
  return !isTenant(entry) || connection.hosts.includes(host);
}

/** The names or the suffix at which a connection with these hosts is used, of one entry. */
export function hostsAt(entry: HostEntry, hosts: readonly string[]): readonly string[] {
  return isTenant(entry) ? hosts.filter((host) => host.endsWith(entry.host.slice(1))) : [entry.host];
}

/** The tenant suffixes where a credential of this kind would be injected. */
function tenantSuffixes(provider: Provider, kind: string): readonly string[] {
  const entries = provider.hosts.filter((entry) => isTenant(entry) && injectionsFor(provider, entry, kind).length > 0);
  return [...new Set(entries.map((entry) => entry.host.slice(2)))];
}

/** The field in which a person names the account's own hosts; undefined where the provider has no tenant hosts for this kind. */
export function hostFieldOf(provider: Provider, kind: string): Field | undefined {
  const suffixes = tenantSuffixes(provider, kind);
  if (suffixes.length === 0) return undefined;
  const examples = suffixes.map((suffix) => `acme.${suffix}`).join(' or ');
  return { name: 'host', label: 'Your host name', secret: false, help: `${examples}; several separated by spaces` };
}

/** None of these hosts is below a tenant suffix that a credential of this kind needs: there is nobody to send it to. */
export function lacksHost(provider: Provider, kind: string, hosts: readonly string[]): boolean {
  const suffixes = tenantSuffixes(provider, kind);
  return suffixes.length > 0 && !hosts.some((host) => suffixes.some((suffix) => isBelow(host, suffix)));
}

export interface TypedHosts {
  readonly hosts: readonly string[];
  /** One sentence per field. */
  readonly problems: Readonly<Record<string, string>>;
}

const mostHosts = 32;

/** The hosts a person named, held to the provider's suffixes on a label boundary. */
export function typedHosts(provider: Provider, kind: string, given: Secret<string> | undefined): TypedHosts {
  const suffixes = tenantSuffixes(provider, kind);
  if (suffixes.length === 0) return { hosts: [], problems: {} };
  const hosts = [...new Set((given?.reveal() ?? '').split(/[ ,]+/).filter((one) => one !== ''))];
  const problem = problemOf(hosts, suffixes);
  return problem === undefined ? { hosts, problems: {} } : { hosts: [], problems: { '/fields/host': problem } };
}

function problemOf(hosts: readonly string[], suffixes: readonly string[]): string | undefined {
  if (hosts.length === 0) return 'this is needed';
  if (hosts.length > mostHosts) return `name at most ${mostHosts} hosts`;
  if (hosts.every((host) => suffixes.some((suffix) => isBelow(host, suffix)))) return undefined;
  return `use lower-case names below ${suffixes.join(' or ')}, without https:// and path`;
}

const labels = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Strict text: one or more labels, a dot, the suffix; no port, no final dot, no pattern, nothing else. */
function isBelow(host: string, suffix: string): boolean {
  return host.length <= 253 && host.endsWith(`.${suffix}`) && labels.test(host);
}
