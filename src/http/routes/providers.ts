import { Fault, Secret } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { type Kit, parked, present } from '../kit.ts';
import { mustAdminister } from '../rights.ts';
import { providerView } from '../views.ts';

type Routes = 'provider_list' | 'provider_get' | 'provider_register' | 'provider_remove' | 'provider_client';

/** The catalogue and the organization's own definitions. */
export function providerRoutes(kit: Kit): HandlersOf<Routes> {
  const { rooms } = kit;
  const { connect, organization } = rooms;
  const view = async (id: string) =>
    providerView(await connect.provider(organization.id, id), await connect.hasClient(organization.id, id));
  return {
    async provider_list({ query }) {
      const listing = await connect.providers(organization.id, present(query));
      const items = await Promise.all(
        listing.items.map(async (provider) => providerView(provider, await connect.hasClient(organization.id, provider.id))),
      );
      return { status: 200, body: { items, ...present({ next: listing.next }) } };
    },

    provider_get: async ({ params }) => ({ status: 200, body: await view(params.provider) }),

    async provider_register({ caller, body }) {
      mustAdminister(caller.session.user);
      const provider = await connect.judgeProvider(body.definition);
      await refuseBuiltIn(kit, provider.id);
      return parked(kit, await kit.changes.ask(caller.principal, 'provider.register', { definition: body.definition }));
    },

    async provider_remove({ caller, params }) {
      mustAdminister(caller.session.user);
      const provider = await connect.provider(organization.id, params.provider);
      if (provider.source === 'catalogue') throw new Fault('forbidden', { detail: 'Providers of the catalogue cannot be removed' });
      return parked(kit, await kit.changes.ask(caller.principal, 'provider.remove', { provider: provider.id }));
    },

    async provider_client({ caller, params, body }) {
      mustAdminister(caller.session.user);
      const secret = body.client_secret === undefined ? undefined : new Secret(body.client_secret);
      const { id } = await connect.provider(organization.id, params.provider);
      const held = await connect.holdClient(caller.principal, id, { id: body.client_id, secret });
      const change = { provider: id, client_id: body.client_id, secret: secret !== undefined, held };
      return parked(kit, await kit.changes.ask(caller.principal, 'provider.client', change));
    },
  };
}

/** @throws {Fault} `provider_exists` before a person is asked about something that cannot be. */
async function refuseBuiltIn({ rooms }: Kit, id: string): Promise<void> {
  const known = await rooms.connect.provider(rooms.organization.id, id).catch((error: unknown) => {
    if (error instanceof Fault && error.code === 'provider_unknown') return undefined;
    throw error;
  });
  if (known?.source === 'catalogue') throw new Fault('provider_exists');
}
