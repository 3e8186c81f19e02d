import { Fault } from '#kernel';
import { holdClient, knownClient, registerClient } from './clients.ts';
import { authorizationUrl, completeCode } from './code-flow.ts';
import { connectionById } from './connections.sql.ts';
import type { Connect } from './contract.ts';
import { providerOf } from './definition.ts';
import type { ConnectDeps } from './deps.ts';
import { createDevicePolling } from './device-polling.ts';
import { disconnect } from './disconnect.ts';
import { flowOf, loadFlow } from './flow-record.ts';
import { begin, completeWithKey } from './flows.ts';
import { createFresh } from './fresh.ts';
import { accept, confirm, setDefault, share } from './govern.ts';
import { claimsOf } from './hosts.ts';
import { createListing } from './listing.ts';
import { matchCall } from './match.ts';
import { createProviders, judgeDefinition, registerDefinition, removeDefinition, searchProviders } from './providers.ts';
import { seen } from './standing.ts';

/** We obtain: accounts at providers, their credentials kept fresh, calls matched to operations. */
export function createConnect(given: ConnectDeps): Connect {
  const providers = createProviders(given);
  const deps = Object.freeze({ ...given, providers });
  const listing = createListing(deps);
  const freshness = createFresh(deps);
  const polling = createDevicePolling(deps);

  return Object.freeze({
    provider: providers.get,
    providers: async (organization, query) => searchProviders(await providers.of(organization), query),
    registerProvider: (tx, by, definition) => registerDefinition(deps, tx, by, definition),
    removeProvider: (tx, by, id) => removeDefinition(deps, tx, by, id),
    judgeProvider: async (definition) => providerOf(judgeDefinition(deps, definition), 'organization'),
    holdClient: async (by, provider, client) => holdClient(deps, by, await providers.get(by.organization, provider), client),
    registerClient: (by, provider, held) => registerClient(deps, by, provider, held),
    hasClient: async (organization, provider) => (await knownClient(deps, organization, provider)) !== undefined,

    async begin(by, request) {
      const flow = await begin(deps, by, request);
      polling.watch(flow);
      return flow;
    },
    async flow(organization, id) {
      await polling.poll(organization, id);
      const record = await loadFlow(deps, organization, id);
      return record === undefined ? undefined : flowOf(deps, record);
    },
    authorizationUrl: (by, session, id, fields) => authorizationUrl(deps, by, session, id, fields),
    complete: (by, session, callback) => completeCode(deps, by, session, callback),
    completeWithKey: (by, id, fields, where) => completeWithKey(deps, by, id, fields, where),

    async connection(organization, id) {
      const row = await deps.records.in(organization).read((tx) => connectionById(tx, organization, id));
      return row === undefined ? undefined : seen(row, (await providers.of(organization)).byId.get(row.provider_id));
    },
    connections: listing.search,
    candidates: listing.candidates,
    confirm: (tx, by, made) => confirm(deps, tx, by, made),
    setDefault: (by, id) => setDefault(deps, by, id),
    share: (tx, by, id, shared) => share(deps, tx, by, id, shared),
    accept: (tx, by, id, digest) => accept(deps, tx, by, id, digest),
    disconnect: (by, id) => disconnect(deps, by, id),

    fresh: freshness.fresh,
    async match(organization, call) {
      return matchCall((await providers.of(organization)).index, call);
    },
    async claims(organization, host, port) {
      if (port < 1 || port > 65_535) throw new Fault('invalid_request');
      return [...new Set(claimsOf((await providers.of(organization)).index, host, port).map((claim) => claim.provider))];
    },
    async close() {
      polling.close();
      freshness.close();
      listing.close();
      providers.close();
    },
  } satisfies Connect);
}
