import { Fault } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { pageOfFew } from '../few.ts';
import { type Kit, parked } from '../kit.ts';
import { mustAdminister } from '../rights.ts';
import { detailsTypeView } from '../views.ts';

type Routes = 'details_type_list' | 'details_type_add' | 'details_type_remove' | 'lives_get' | 'lives_change';

/** Types of authorization details, and lives, of the organization, for its administrators. */
export function detailsTypeRoutes(kit: Kit): HandlersOf<Routes> {
  const { issuer, organization } = kit.rooms;
  return {
    async details_type_list({ caller, query }) {
      mustAdminister(caller.session.user);
      const all = [...(await issuer.detailsTypes.registered(organization.id)).values()];
      return { status: 200, body: pageOfFew(all.map(detailsTypeView), query) };
    },

    async lives_get({ caller }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: await issuer.lifetimes.set(organization.id) };
    },

    async lives_change({ caller, body }) {
      mustAdminister(caller.session.user);
      return parked(kit, await kit.changes.ask(caller.principal, 'lives.change', body));
    },

    async details_type_add({ caller, body }) {
      mustAdminister(caller.session.user);
      issuer.detailsTypes.judge(body);
      if ((await issuer.detailsTypes.registered(organization.id)).has(body.type))
        throw new Fault('conflict', { detail: 'There is a type of this name', hint: 'remove it first' });
      return parked(kit, await kit.changes.ask(caller.principal, 'details_type.add', body));
    },

    async details_type_remove({ caller, query }) {
      mustAdminister(caller.session.user);
      const found = (await issuer.detailsTypes.registered(organization.id)).get(query.type);
      if (found === undefined) throw new Fault('not_found');
      if (query.preview === 'false') await issuer.detailsTypes.remove(caller.principal, query.type);
      return { status: 200, body: detailsTypeView(found) };
    },
  };
}
