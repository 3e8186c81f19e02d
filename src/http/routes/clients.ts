import { Fault, parseId } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { clientDraft } from '../client-draft.ts';
import { type Kit, parked, present } from '../kit.ts';
import { mustAdminister } from '../rights.ts';
import { clientView, grantView, pageView } from '../views.ts';

type Routes =
  | 'client_list'
  | 'client_get'
  | 'client_add'
  | 'client_remove'
  | 'client_secret_add'
  | 'client_secret_end'
  | 'grant_list'
  | 'grant_end';

/** OAuth clients of the organization, for its administrators; what each person let clients do. */
export function clientRoutes(kit: Kit): HandlersOf<Routes> {
  const { issuer, organization } = kit.rooms;
  const found = async (id: string) => {
    const client = await issuer.clients.find(organization.id, id);
    if (client === undefined) throw new Fault('client_unknown');
    return client;
  };
  return {
    async client_list({ caller, query }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: pageView(await issuer.clients.list(organization.id, present(query)), clientView) };
    },

    async client_get({ caller, params }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: clientView(await found(params.client)) };
    },

    async client_add({ caller, body }) {
      mustAdminister(caller.session.user);
      issuer.clients.judge(clientDraft(body));
      return parked(kit, await kit.changes.ask(caller.principal, 'client.add', body));
    },

    async client_remove({ caller, params }) {
      mustAdminister(caller.session.user);
      await issuer.clients.remove(caller.principal, params.client);
      return { status: 200, body: {} };
    },

    async client_secret_add({ caller, params, body }) {
      mustAdminister(caller.session.user);
      const { id } = await found(params.client);
      return parked(kit, await kit.changes.ask(caller.principal, 'client.secret', { client: id, ...body }));
    },

    async client_secret_end({ caller, params }) {
      mustAdminister(caller.session.user);
      await issuer.clients.endSecret(caller.principal, params.client, params.secret);
      return { status: 200, body: {} };
    },

    async grant_list({ caller, query }) {
      const page = await issuer.grantsPage(organization.id, caller.session.user.id, present(query));
      return { status: 200, body: pageView(page, grantView) };
    },

    async grant_end({ caller, params }) {
      const id = parseId('grt', params.grant);
      if (id === undefined || !(await issuer.endGrant(caller.principal, id))) throw new Fault('not_found');
      return { status: 200, body: {} };
    },
  };
}
