import { Fault } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { type Kit, parked, present } from '../kit.ts';
import { resourceDraft } from '../resource-draft.ts';
import { mustAdminister } from '../rights.ts';
import { pageView, resourceView } from '../views.ts';

type Routes = 'resource_list' | 'resource_get' | 'resource_add' | 'resource_change' | 'resource_remove';

/** Resources of the organization that tokens are for, for its administrators. */
export function resourceRoutes(kit: Kit): HandlersOf<Routes> {
  const { issuer, organization } = kit.rooms;
  return {
    async resource_list({ caller, query }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: pageView(await issuer.resources.list(organization.id, present(query)), resourceView) };
    },

    async resource_get({ caller, params }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: resourceView(await issuer.resources.find(organization.id, params.resource)) };
    },

    async resource_add({ caller, body }) {
      mustAdminister(caller.session.user);
      issuer.resources.judge(resourceDraft(body));
      return parked(kit, await kit.changes.ask(caller.principal, 'resource.add', body));
    },

    async resource_change({ caller, params, body }) {
      mustAdminister(caller.session.user);
      const { id, identifier, version } = await issuer.resources.find(organization.id, params.resource);
      issuer.resources.judge(resourceDraft({ identifier, ...body }));
      if (version !== body.version) throw new Fault('conflict');
      return parked(kit, await kit.changes.ask(caller.principal, 'resource.change', { resource: id, identifier, ...body }));
    },

    async resource_remove({ caller, params, query }) {
      mustAdminister(caller.session.user);
      const resource = await issuer.resources.find(organization.id, params.resource);
      if (query.preview === 'false') await issuer.resources.remove(caller.principal, resource.id);
      return { status: 200, body: resourceView(resource) };
    },
  };
}
