import { nameShape } from '#api';
import { Fault, type FlowId, type Principal } from '#kernel';
import { credentialOfFields, type Fields } from './api-key-flow.ts';
import { completeAsClient, typedClient } from './client-credentials-flow.ts';
import { identityOf, isForEndpoints, knownClient } from './clients.ts';
import { clientOfDoc, codeDoc } from './code-flow.ts';
import { connectionByName } from './connections.sql.ts';
import type { BeginConnection, Connection, Flow, FlowState } from './contract.ts';
import { type ConnectDeps, endedByOwner } from './deps.ts';
import { requestDeviceCode } from './device-flow.ts';
import { resolveEndpoints, storedEndpoints } from './endpoints.ts';
import { type FlowDoc, type FlowRecord, flowOf, loadFlow, newFlowId, openFlow, prepareFlow } from './flow-record.ts';
import { failFlow, makeConnection } from './making.ts';
import { oauthOf } from './oauth-credential.ts';
import type { ApiKeyAuth, Provider } from './provider.ts';
import type { Providers } from './providers.ts';
import { ownClient, registeredClient } from './registration.ts';
import { assertMayManage, personOf, sameParty } from './rights.ts';
import { hostFieldOf, typedHosts } from './tenants.ts';

export type FlowDeps = ConnectDeps & { readonly providers: Providers };

interface Opening {
  readonly state: FlowState;
  readonly doc: Partial<FlowDoc>;
  /** Milliseconds the flow stays open. */
  readonly life: number;
}

interface OpeningOf {
  readonly deps: FlowDeps;
  readonly by: Principal;
  readonly provider: Provider;
  readonly scopes: readonly string[];
  /** The page of ours where a person goes on. */
  readonly page: string;
}

const pageLife = 15 * 60_000;

/** How each flow begins: one row per kind. */
const openings: Readonly<Record<Flow['kind'], (given: OpeningOf) => Promise<Opening>>> = {
  async api_key({ provider, page }) {
    keyAuthOf(provider);
    return { state: { kind: 'waiting', url: page }, doc: {}, life: pageLife };
  },

  async pkce({ deps, by, provider, page }) {
    const auth = oauthOf(provider);
    const client = identityOf(await ownClient(deps, by.organization, provider), auth);
    const endpoints = await resolveEndpoints(deps.net, provider, auth, ['authorization', 'token']);
    return {
      state: { kind: 'waiting', url: page },
      doc: { endpoints: storedEndpoints(endpoints), ...codeDoc(endpoints, client) },
      life: pageLife,
    };
  },

  async dcr_pkce({ deps, by, provider, page }) {
    const auth = oauthOf(provider);
    const endpoints = await resolveEndpoints(deps.net, provider, auth, ['authorization', 'token', 'registration']);
    const client = identityOf(await registeredClient(deps, by, provider, auth, endpoints), auth);
    return {
      state: { kind: 'waiting', url: page },
      doc: { endpoints: storedEndpoints(endpoints), ...codeDoc(endpoints, client) },
      life: pageLife,
    };
  },

  async device_code({ deps, by, provider, scopes }) {
    const auth = oauthOf(provider);
    const client = identityOf(await ownClient(deps, by.organization, provider), auth);
    const endpoints = await resolveEndpoints(deps.net, provider, auth, ['device', 'token']);
    const device = await requestDeviceCode(deps, auth, endpoints.device ?? '', client, scopes);
    return {
      state: { kind: 'device', url: device.url, userCode: device.userCode },
      doc: {
        endpoints: storedEndpoints(endpoints),
        ...codeDoc(endpoints, client),
        device: { code: device.code, interval: device.interval },
      },
      life: device.life * 1000,
    };
  },

  async client_credentials({ deps, by, provider, page }) {
    const auth = oauthOf(provider);
    const endpoints = await resolveEndpoints(deps.net, provider, auth, ['token']);
    const known = await knownClient(deps, by.organization, provider.id);
    const doc = known === undefined || !isForEndpoints(known, provider) ? {} : codeDoc(endpoints, identityOf(known, auth));
    return { state: { kind: 'waiting', url: page }, doc: { endpoints: storedEndpoints(endpoints), ...doc }, life: pageLife };
  },
};

/**
 * Starts a flow, bound to who starts it. A client-credentials flow for which the organization has a client ends at once.
 * @throws {Fault} `provider_unknown`, `provider_unsupported`, `connection_exists`, `invalid_request`, `forbidden`
 */
export async function begin(deps: FlowDeps, by: Principal, request: BeginConnection): Promise<Flow> {
  const person = personOf(by);
  const provider = await deps.providers.get(by.organization, request.provider);
  if (provider.unsupported !== undefined) throw new Fault('provider_unsupported', { detail: provider.unsupported });
  if (!nameShape.test(request.name))
    throw new Fault('invalid_request', { fields: { '/name': 'use 1 to 64 of a-z, 0-9, dot, dash and underscore' } });
  const kind = await chooseKind(deps, by, provider, request.flow);
  assertHostsCanBeAsked(provider, kind);
  const vault = await deps.identity.defaultVault(by.organization, person);
  await assertNameIsFree(deps, by, request, vault);
  const scopes = scopesOf(provider, kind, request.scopes);
  const id = newFlowId(deps);
  const opening = await openings[kind]({ deps, by, provider, scopes, page: `${deps.publicUrl}/connect/${id}` });
  const doc: FlowDoc = {
    vault,
    force: request.force,
    scopes: [...scopes],
    allow: [...request.allow],
    digest: provider.digest,
    endpoints: {},
    hosts: [],
    names_itself: false,
    ...opening.doc,
  };
  const expiresAt = deps.clock.now() + opening.life;
  const store = await prepareFlow(deps, {
    id,
    organization: by.organization,
    provider: provider.id,
    name: request.name,
    kind,
    startedBy: person,
    state: opening.state,
    expiresAt,
    doc,
  });
  await deps.records.in(by.organization).write(async (tx) => {
    await store(tx);
    await deps.audit.record(tx, {
      name: 'connection.started',
      principal: by,
      fields: { provider: provider.id, name: request.name, flow: kind },
    });
  });
  return started(deps, by, provider, id);
}

async function started(deps: FlowDeps, by: Principal, provider: Provider, id: FlowId): Promise<Flow> {
  const flow = await openFlow(deps, by.organization, id, () => true);
  const waits = flow.row.kind !== 'client_credentials' || flow.doc.client === undefined;
  if (waits || hostFieldOf(provider, 'oauth2') !== undefined) return flowOf(deps, flow);
  const client = clientOfDoc(flow.doc);
  await ending(deps, by, flow, () =>
    completeAsClient(deps, by, flow, { provider, auth: oauthOf(provider), client, own: false, hosts: [], byOwner: false }),
  );
  return flowOf(deps, (await loadFlow(deps, by.organization, id)) ?? flow);
}

/** The flow asked for, if the provider offers it; else its first one that can be used without a client we do not have. */
async function chooseKind(deps: FlowDeps, by: Principal, provider: Provider, asked: Flow['kind'] | undefined): Promise<Flow['kind']> {
  const offered = provider.auth.flatMap((auth): readonly Flow['kind'][] => (auth.kind === 'api_key' ? ['api_key'] : auth.flows));
  if (asked !== undefined) {
    if (offered.includes(asked)) return asked;
    throw new Fault('invalid_request', {
      detail: 'This provider does not offer that flow',
      hint: `it offers: ${[...new Set(offered)].join(', ')}`,
    });
  }
  const hasClient = (await knownClient(deps, by.organization, provider.id)) !== undefined;
  const usable = offered.find((kind) => kind === 'api_key' || kind === 'dcr_pkce' || kind === 'client_credentials' || hasClient);
  return usable ?? offered[0] ?? 'api_key';
}

/** A device flow ends at the provider, without a page of ours that could ask. @throws {Fault} `invalid_request` */
function assertHostsCanBeAsked(provider: Provider, kind: Flow['kind']): void {
  if (kind !== 'device_code' || hostFieldOf(provider, 'oauth2') === undefined) return;
  throw new Fault('invalid_request', {
    detail: 'This provider has a host for each customer, and a device flow cannot ask for yours',
    hint: 'choose another flow',
  });
}

async function assertNameIsFree(
  deps: FlowDeps,
  by: Principal,
  request: BeginConnection,
  vault: FlowDoc['vault'] & Parameters<typeof connectionByName>[1]['vault'],
): Promise<void> {
  const at = { organization: by.organization, vault, provider: request.provider, name: request.name };
  const row = await deps.records.in(by.organization).read((tx) => connectionByName(tx, at));
  if (row === undefined) return;
  if (!request.force) throw new Fault('connection_exists');
  await assertMayManage(deps.identity, by, row);
}

function scopesOf(provider: Provider, kind: Flow['kind'], asked: readonly string[] | undefined): readonly string[] {
  if (kind === 'api_key') return [];
  const scopes = asked ?? oauthOf(provider).scopes;
  if (scopes.length > 200 || scopes.some((scope) => !/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/.test(scope)))
    throw new Fault('invalid_request', { fields: { '/scopes': 'use the names of scopes as the provider writes them' } });
  return [...new Set(scopes)];
}

function keyAuthOf(provider: Provider): ApiKeyAuth {
  const auth = provider.auth.find((one): one is ApiKeyAuth => one.kind === 'api_key');
  if (auth === undefined) throw new Fault('invalid_request', { detail: 'This provider takes no key' });
  return auth;
}

/**
 * Ends a flow with what a person typed: the fields of a key, or a client's id and secret. What was typed wrong can be
 * typed again. @throws {Fault} `invalid_request`, `forbidden`, `link_ended`, `connection_exists`
 */
export async function completeWithKey(
  deps: FlowDeps,
  by: Principal,
  id: FlowId,
  fields: Fields,
  where: 'browser' | 'command_line',
): Promise<{ readonly flow: Flow; readonly connection: Connection }> {
  const person = personOf(by);
  const flow = await openFlow(deps, by.organization, id, (starter) => sameParty(starter, person));
  const provider = await deps.providers.get(by.organization, flow.row.provider_id);
  if (provider.digest !== flow.doc.digest) throw new Fault('link_ended', { detail: 'The provider definition changed meanwhile' });
  const connection = await typed(deps, by, flow, provider, { fields, byOwner: endedByOwner(deps, where) });
  return { flow: flowOf(deps, (await loadFlow(deps, by.organization, id)) ?? flow), connection };
}

interface Typed {
  readonly fields: Fields;
  readonly byOwner: boolean;
}

async function typed(deps: FlowDeps, by: Principal, flow: FlowRecord, provider: Provider, given: Typed): Promise<Connection> {
  const { fields, byOwner } = given;
  if (flow.row.kind === 'client_credentials') {
    const auth = oauthOf(provider);
    const { hosts, problems } = typedHosts(provider, 'oauth2', fields.host);
    const known = flow.doc.client === undefined ? undefined : clientOfDoc(flow.doc);
    const client = known ?? typedClient(auth, fields, problems);
    if (Object.keys(problems).length > 0) throw new Fault('invalid_request', { fields: problems });
    return completeAsClient(deps, by, flow, { provider, auth, client, own: known === undefined, hosts, byOwner });
  }
  if (flow.row.kind !== 'api_key') throw new Fault('invalid_request', { detail: 'This flow is completed at the provider' });
  const { host, ...parts } = fields;
  const { hosts, problems } = typedHosts(provider, 'api_key', host);
  const own = hostFieldOf(provider, 'api_key') === undefined ? fields : parts;
  const credential = credentialOfFields(keyAuthOf(provider), own, deps.clock.now(), problems);
  return ending(deps, by, flow, () =>
    makeConnection(deps, by, flow, provider, {
      kind: 'api_key',
      credential,
      account: {},
      scopes: [],
      expiresAt: undefined,
      client: undefined,
      hosts,
      byOwner,
    }),
  );
}

/** Runs the last step of a flow; what ends it otherwise is kept with it. */
async function ending<T>(deps: FlowDeps, by: Principal, flow: FlowRecord, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof Fault) await failFlow(deps, by, flow, error.code, error.details.detail ?? error.row.title);
    throw error;
  }
}
