import { Fault, type OrganizationId, type Principal } from '#kernel';
import { cacheByGeneration, type GenerationCache, isUniqueViolation, pageLimit, type Writing } from '#store';
import type { Catalogue } from './catalogue.ts';
import { hostKey } from './checks.ts';
import { parseDefinition, providerOf } from './definition.ts';
import { type DefinitionRow, definitionsOf, deleteDefinition, insertDefinition, updateDefinition } from './definitions.sql.ts';
import type { ConnectDeps } from './deps.ts';
import { canonicalJson } from './digest.ts';
import { type HostIndex, indexHosts } from './hosts.ts';
import { asDefinition } from './importing.ts';
import type { Provider, ProviderDefinition } from './provider.ts';

/** Every provider of one organization: the catalogue and its own. */
export interface ProviderSet {
  readonly byId: ReadonlyMap<string, Provider>;
  readonly index: HostIndex;
}

/** Providers by organization, from a cache kept by generation; those without definitions of their own share one set. */
export interface Providers {
  of(organization: OrganizationId): Promise<ProviderSet>;
  /** @throws {Fault} `provider_unknown` */
  get(organization: OrganizationId, id: string): Promise<Provider>;
  /** As it stands in this transaction. @throws {Fault} `provider_unknown` */
  within(tx: Writing, organization: OrganizationId, id: string): Promise<Provider>;
  close(): void;
}

export function createProviders(deps: Pick<ConnectDeps, 'records' | 'changes' | 'catalogue'>): Providers {
  const shipped: ProviderSet = { byId: deps.catalogue, index: indexHosts(deps.catalogue.values()) };
  const cache: GenerationCache<ProviderSet> = cacheByGeneration(deps.changes, 'providers', 1_000);

  async function load(organization: OrganizationId): Promise<ProviderSet> {
    const rows = await deps.records.in(organization).read((tx) => definitionsOf(tx, organization));
    if (rows.length === 0) return shipped;
    const own = rows.map(ownProvider).filter((provider) => !deps.catalogue.has(provider.id));
    const byId = new Map([...deps.catalogue, ...own.map((provider) => [provider.id, provider] as const)]);
    return { byId, index: indexHosts(byId.values()) };
  }

  const of = async (organization: OrganizationId) => (await cache.get(organization, () => load(organization))) ?? shipped;
  return Object.freeze({
    of,
    async get(organization, id) {
      const provider = (await of(organization)).byId.get(id);
      if (provider === undefined) throw new Fault('provider_unknown');
      return provider;
    },
    async within(tx, organization, id) {
      const shippedOne = deps.catalogue.get(id);
      if (shippedOne !== undefined) return shippedOne;
      const row = (await definitionsOf(tx, organization)).find((one) => one.provider_id === id);
      if (row === undefined) throw new Fault('provider_unknown');
      return ownProvider(row);
    },
    close: cache.close,
  } satisfies Providers);
}

function ownProvider(row: DefinitionRow): Provider {
  return providerOf(parseDefinition(JSON.parse(row.definition_json), { shipped: false }), 'organization');
}

/** A definition of ours or of another broker's kind, checked. Stores nothing. @throws {Fault} `provider_invalid`, `provider_exists` */
export function judgeDefinition(deps: Pick<ConnectDeps, 'catalogue' | 'own'>, input: unknown): ProviderDefinition {
  const definition = parseDefinition(asDefinition(input), { shipped: false });
  if (deps.catalogue.has(definition.id))
    throw new Fault('provider_exists', { hint: 'a shipped provider cannot be replaced: choose another id' });
  const fields: Record<string, string> = {};
  definition.hosts.forEach((entry, at) => {
    if (deps.own?.includes(entry.host) === true) fields[`/hosts/${at}`] = 'this host is our own';
    const owner = ownerOf(deps.catalogue, entry);
    if (owner !== undefined) fields[`/hosts/${at}`] = `${owner} claims this host, port and path: name a path of your own`;
  });
  if (Object.keys(fields).length > 0) throw new Fault('provider_invalid', { fields });
  return definition;
}

function ownerOf(catalogue: Catalogue, entry: ProviderDefinition['hosts'][number]): string | undefined {
  for (const provider of catalogue.values()) {
    if (provider.hosts.some((theirs) => hostKey(theirs) === hostKey(entry))) return provider.id;
  }
  return undefined;
}

/**
 * Stores a definition, or replaces the organization's own of the same id; connections made under the old one then need
 * their owner. @throws {Fault} `provider_exists`, `provider_invalid`, `conflict`
 */
export async function registerDefinition(
  deps: Pick<ConnectDeps, 'catalogue' | 'own' | 'clock' | 'audit'>,
  tx: Writing,
  by: Principal,
  input: unknown,
): Promise<Provider> {
  const definition = judgeDefinition(deps, input);
  const provider = providerOf(definition, 'organization');
  const rows = await definitionsOf(tx, by.organization);
  assertApart(definition, rows);
  const row = { provider_id: provider.id, definition_json: canonicalJson(definition), digest: provider.digest, at: deps.clock.now() };
  await store(
    tx,
    by.organization,
    row,
    rows.find((one) => one.provider_id === provider.id),
  );
  await tx.bump('providers');
  await deps.audit.record(tx, { name: 'provider.registered', principal: by, fields: { provider: provider.id, digest: provider.digest } });
  return provider;
}

async function store(
  tx: Writing,
  organization: OrganizationId,
  row: Parameters<typeof insertDefinition>[2],
  before: DefinitionRow | undefined,
): Promise<void> {
  try {
    if (before === undefined) return await insertDefinition(tx, organization, row);
  } catch (error) {
    if (isUniqueViolation(error)) throw new Fault('conflict', { cause: error });
    throw error;
  }
  if (!(await updateDefinition(tx, organization, row, before.version))) throw new Fault('conflict');
}

/** Two of an organization's own definitions may not share a host, port and path either. */
function assertApart(definition: ProviderDefinition, rows: readonly DefinitionRow[]): void {
  const mine = new Map(definition.hosts.map((entry, at) => [hostKey(entry), at]));
  for (const row of rows) {
    if (row.provider_id === definition.id) continue;
    for (const entry of ownProvider(row).hosts) {
      const at = mine.get(hostKey(entry));
      if (at !== undefined)
        throw new Fault('provider_invalid', { fields: { [`/hosts/${at}`]: `${row.provider_id} claims this host, port and path` } });
    }
  }
}

/** @throws {Fault} `provider_unknown`; shipped providers cannot be removed */
export async function removeDefinition(deps: Pick<ConnectDeps, 'audit'>, tx: Writing, by: Principal, id: string): Promise<void> {
  if (!(await deleteDefinition(tx, by.organization, id))) throw new Fault('provider_unknown');
  await tx.bump('providers');
  await deps.audit.record(tx, { name: 'provider.removed', principal: by, fields: { provider: id } });
}

/** Providers whose id, name or host contains the text, in order of id. */
export function searchProviders(
  set: ProviderSet,
  query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
): { readonly items: readonly Provider[]; readonly next?: string } {
  const text = query.text?.trim().toLowerCase() ?? '';
  const after = query.cursor ?? '';
  const limit = pageLimit(query.limit);
  const found = [...set.byId.values()]
    .filter((provider) => provider.id > after && (text === '' || mentions(provider, text)))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return found.length > limit && last !== undefined ? { items, next: last.id } : { items };
}

function mentions(provider: Provider, text: string): boolean {
  return (
    provider.id.includes(text) || provider.name.toLowerCase().includes(text) || provider.hosts.some((entry) => entry.host.includes(text))
  );
}
