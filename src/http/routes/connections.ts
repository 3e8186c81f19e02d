import type { Flow } from '#connect';
import { Fault, parseId, Secret } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { type Kit, parked, present } from '../kit.ts';
import { connectionView, flowView, pageView } from '../views.ts';
import { count } from './agents.ts';

type Routes =
  | 'connection_list'
  | 'connection_get'
  | 'connection_begin'
  | 'connection_flow'
  | 'connection_key'
  | 'connection_confirm'
  | 'connection_default'
  | 'connection_share'
  | 'connection_end';

const statuses = ['connected', 'interrupted', 'needs_attention', 'disconnected'] as const;

/** Accounts at providers, and the flows that connect them. */
export function connectionRoutes(kit: Kit): HandlersOf<Routes> {
  const { rooms, look } = kit;
  const { connect, organization } = rooms;
  const viewFlow = async (flow: Flow) => flowView(flow, await connect.provider(organization.id, flow.provider), rooms.publicUrl);
  return {
    async connection_list({ caller, query }) {
      const vaults = await rooms.identity.vaultsOf(caller.principal);
      const status = statuses.find((known) => known === query.status);
      if (query.status !== undefined && status === undefined) {
        throw new Fault('invalid_request', { fields: { '/query/status': `one of ${statuses.join(', ')}` } });
      }
      return {
        status: 200,
        body: pageView(await connect.connections(organization.id, vaults, present({ ...query, status })), connectionView),
      };
    },

    connection_get: async ({ caller, params }) => ({
      status: 200,
      body: connectionView(await look.connection(caller.principal, params.connection)),
    }),

    async connection_begin({ caller, body }) {
      const flow = await connect.begin(caller.principal, present(body));
      return { status: 201, body: await viewFlow(flow) };
    },

    connection_flow: async ({ params }) => ({ status: 200, body: await viewFlow(await flowOf(kit, params.flow)) }),

    async connection_key({ caller, params, body }) {
      const flow = await flowOf(kit, params.flow);
      const fields = Object.fromEntries(Object.entries(body.fields).map(([name, value]) => [name, new Secret(value)]));
      const done = await connect.completeWithKey(caller.principal, flow.id, fields, caller.kind);
      return { status: 200, body: await viewFlow(done.flow) };
    },

    async connection_confirm({ caller, body }) {
      const made = await Promise.all(
        body.flows.map(async (reference) => {
          const { id, state } = await flowOf(kit, reference);
          if (state.kind !== 'connected') throw new Fault('not_found', { detail: 'Nothing is connected yet' });
          return { connection: (await look.connection(caller.principal, state.connection)).id, flow: id };
        }),
      );
      return parked(kit, await kit.changes.ask(caller.principal, 'connection.confirm', { made }));
    },

    async connection_default({ caller, params }) {
      const connection = await look.connection(caller.principal, params.connection);
      if (connection.isDefault) return { status: 200, body: connectionView(connection) };
      return parked(kit, await kit.changes.ask(caller.principal, 'connection.default', { connection: connection.id }));
    },

    async connection_share({ caller, params, body }) {
      const connection = await look.connection(caller.principal, params.connection);
      if (body.shared) {
        return parked(kit, await kit.changes.ask(caller.principal, 'connection.share', { connection: connection.id, shared: true }));
      }
      const left = await rooms.transact((tx) => connect.share(tx, caller.principal, connection.id, false));
      return { status: 200, body: connectionView(left) };
    },

    async connection_end({ caller, params, query }) {
      const connection = await look.connection(caller.principal, params.connection);
      const permissions = await count((cursor) =>
        rooms.policy.list(organization.id, present({ connection: connection.id, cursor, limit: 200 })),
      );
      const ends = permissions.filter(({ target }) => target.kind === 'connection' && target.id === connection.id).length;
      if (query.preview === 'true') {
        return { status: 200, body: { connection: connectionView(connection), permissions: ends, revoked_upstream: 'preview' } };
      }
      const { revokedUpstream } = await connect.disconnect(caller.principal, connection.id);
      const left = (await connect.connection(organization.id, connection.id)) ?? connection;
      return { status: 200, body: { connection: connectionView(left), permissions: ends, revoked_upstream: revokedUpstream } };
    },
  };
}

/** @throws {Fault} `not_found` */
export async function flowOf({ rooms }: Kit, reference: string): Promise<Flow> {
  const id = parseId('flw', reference);
  const flow = id === undefined ? undefined : await rooms.connect.flow(rooms.organization.id, id);
  if (flow === undefined) throw new Fault('not_found');
  return flow;
}
