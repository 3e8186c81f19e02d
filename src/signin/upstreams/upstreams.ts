import type { OrganizationId } from '#kernel';
import { begin } from './begin.ts';
import { callbackOf } from './callback.ts';
import { testUpstream } from './check.ts';
import { complete } from './complete.ts';
import type { OfferedUpstream, Upstreams } from './contract.ts';
import type { UpstreamDeps, UpstreamGround } from './deps.ts';
import { createMetadata, metadataGlance } from './metadata.ts';
import { listMethods, unlink } from './methods.ts';
import { createRegistry } from './registry.ts';
import { ownerOf } from './transaction.ts';

/** Signing in through identity providers of others. */
export function createUpstreams(ground: UpstreamGround): Upstreams & { close(): void } {
  const registry = createRegistry(ground);
  const deps: UpstreamDeps = { ...ground, registry, metadata: createMetadata(ground.net, ground.clock) };

  return Object.freeze({
    judge: registry.judge,
    hold: registry.hold,
    keep: registry.keep,
    find: async (organization, name) => (await registry.find(organization, name))?.upstream,
    list: registry.list,
    callback: (upstream) => callbackOf(deps, upstream),
    ends: registry.ends,
    remove: registry.remove,
    test: async (organization, name) => testUpstream(deps, await registry.wanted(organization, name)),
    offered: (organization) => offered(deps, organization),
    begin: (departure) => begin(deps, departure),
    whose: (state) => slugOf(deps, state),
    complete: (arrival) => complete(deps, arrival),
    methods: (user) => listMethods(deps, user),
    unlink: (session, id) => unlink(deps, session, id),
    close: () => registry.close(),
  } satisfies Upstreams & { close(): void });
}

async function slugOf({ ephemera, identity }: UpstreamDeps, state: string): Promise<string | undefined> {
  const owner = await ownerOf({ ephemera }, state);
  const whole = await identity.defaultOrganization();
  return owner === undefined || owner === whole.id ? undefined : (await identity.organization(owner)).slug;
}

/** Each is asked by itself, in the background; none holds up the page or another. */
async function offered({ registry, metadata }: UpstreamDeps, organization: OrganizationId): Promise<readonly OfferedUpstream[]> {
  const all = (await registry.offered(organization)).map(({ upstream }) => upstream);
  if (all.length === 0) return [];
  const asked = Promise.all(all.map((upstream) => metadata.warm(upstream)));
  await atMost(metadataGlance, asked);
  return all.map((upstream) => ({ name: upstream.name, label: upstream.label, works: metadata.works(upstream) }));
}

async function atMost(milliseconds: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
