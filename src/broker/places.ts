import { isIP } from 'node:net';
import { type Connect, type Connection, type Injection, isPinned, type Provider } from '#connect';
import type { Identity } from '#identity';
import type { OrganizationId, VaultId } from '#kernel';
import type { Changes } from '#store';
import type { Providers } from './catalogue.ts';
import type { Alteration } from './contract.ts';
import { type PathShape, pathShape } from './injectors.ts';
import { Latest } from './latest.ts';
import type { RunState } from './runs.ts';

/** What this process knows of one host and port, as one agent sees it. */
export interface Place {
  /** Providers that claim it. */
  readonly providers: readonly Provider[];
  /**
   * Connections the agent may see and that may be used here, by provider: the default first. Disconnected ones are not among
   * them, nor those of another customer's host.
   */
  readonly connections: ReadonlyMap<string, readonly Connection[]>;
  /** Some connection is there: the host is intercepted (SECURITY 12). */
  readonly connected: boolean;
  /** The same host has a connection at some port: clear text is refused (SECURITY 6). */
  readonly connectedByName: boolean;
  readonly vaults: readonly VaultId[];
  /** Every credential slot known for it (SECURITY 8). */
  readonly clear: Alteration['clear'];
  /** Where its paths hold a credential. */
  readonly pathShapes: readonly PathShape[];
  /** Which knowledge this is: it grows with every change of connections, providers or people. */
  readonly stamp: number;
}

export interface PlaceDeps {
  readonly connect: Connect;
  readonly identity: Identity;
  readonly changes: Changes;
  readonly providers: Providers;
}

export interface Places {
  of(run: RunState, host: string, port: number): Promise<Place>;
}

/** Places, remembered until anything changes that they were made from. */
export function createPlaces(deps: PlaceDeps): Places {
  const known = new Latest<string, Place>(20_000);

  async function load(run: RunState, host: string, port: number, stamp: number): Promise<Place> {
    const { organization, principal } = run.live;
    const vaults = await deps.identity.vaultsOf(principal);
    const all = isIP(host) === 0 ? await deps.providers.all(organization) : [];
    const named = all.filter((provider) => provider.hosts.some((entry) => covers(entry.host, host)));
    const claiming = named.length === 0 ? [] : await deps.connect.claims(organization, host, port);
    const byName = await visible(deps.connect, organization, vaults, host, named);
    const connections = new Map(
      claiming.flatMap(({ id, hosts }) => {
        const usable = (byName.get(id) ?? []).filter((one) => isUsable(one, hosts, host, port));
        return usable.length === 0 ? [] : [[id, usable] as const];
      }),
    );
    return Object.freeze({
      providers: claiming,
      connections,
      connected: connections.size > 0,
      connectedByName: byName.size > 0,
      vaults,
      clear: slotsOf(claiming),
      pathShapes: pathShapesOf(claiming),
      stamp,
    });
  }

  return Object.freeze({
    async of(run: RunState, host: string, port: number) {
      const stamp = stampOf(deps.changes);
      const key = `${run.live.agent} ${host} ${port}`;
      const found = known.get(key);
      if (found?.stamp === stamp) return found;
      const place = await load(run, host, port, stamp);
      known.set(key, place);
      return place;
    },
  });
}

/** Generations only grow, so their sum changes whenever one of them does. */
export function stampOf(changes: Changes): number {
  return changes.generation('connections') + changes.generation('providers') + changes.generation('identity');
}

function covers(pattern: string, host: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern;
}

/** Some entry lets it be used at this name, at any port unless one is given. */
function isUsable(connection: Connection, hosts: Provider['hosts'], host: string, port?: number): boolean {
  return hosts.some(
    (entry) => (port === undefined || entry.port === port) && covers(entry.host, host) && isPinned(connection, entry, host),
  );
}

async function visible(
  connect: Connect,
  organization: OrganizationId,
  vaults: readonly VaultId[],
  host: string,
  providers: readonly Provider[],
): Promise<ReadonlyMap<string, readonly Connection[]>> {
  const found = new Map<string, readonly Connection[]>();
  for (const { id, hosts } of providers) {
    const candidates = await connect.candidates(organization, vaults, id);
    const live = candidates.filter((one) => one.status.kind !== 'disconnected' && isUsable(one, hosts, host));
    if (live.length > 0) found.set(id, live);
  }
  return found;
}

/** Ours never go upstream, whatever the host. */
export const brokerHeaders: readonly string[] = ['proxy-authorization', 'gatehouse-connection'];

function slotsOf(providers: readonly Provider[]): Alteration['clear'] {
  const headers = new Set([...brokerHeaders, 'authorization', 'cookie', 'cookie2']);
  const query = new Set<string>();
  const cookies = new Set<string>();
  for (const provider of providers) {
    for (const name of provider.credential_slots.headers) headers.add(name.toLowerCase());
    for (const name of provider.credential_slots.query) query.add(name);
    for (const name of provider.credential_slots.cookies) cookies.add(name);
    for (const injection of injectionsOf(provider)) {
      if (injection.kind === 'header') headers.add(injection.name.toLowerCase());
      if (injection.kind === 'query') query.add(injection.name);
      if (injection.kind === 'cookie') cookies.add(injection.name);
    }
  }
  return Object.freeze({ headers: [...headers], query: [...query], cookies: [...cookies] });
}

function injectionsOf(provider: Provider): readonly Injection[] {
  return provider.auth.flatMap((auth) => [...auth.inject, ...Object.values(auth.inject_on).flat()]);
}

function pathShapesOf(providers: readonly Provider[]): readonly PathShape[] {
  return providers.flatMap(injectionsOf).flatMap((injection) => (injection.kind === 'path' ? [pathShape(injection.template)] : []));
}
