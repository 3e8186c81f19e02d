import type { HandlersOf } from '../api.ts';
import { type Kit, parked, present } from '../kit.ts';
import { mustAdminister } from '../rights.ts';
import { trustDraft } from '../trust-draft.ts';
import { pageView, trustView } from '../views.ts';

type Routes = 'trust_list' | 'trust_get' | 'trust_add' | 'trust_remove';

/** Issuers whose assertions OAuth clients may present for tokens, for administrators. */
export function trustRoutes(kit: Kit): HandlersOf<Routes> {
  const { issuer, organization } = kit.rooms;
  const trusts = issuer.trustedIssuers;
  return {
    async trust_list({ caller, query }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: pageView(await trusts.list(organization.id, present(query)), trustView) };
    },

    async trust_get({ caller, params }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: trustView(await trusts.find(organization.id, params.trust)) };
    },

    async trust_add({ caller, body }) {
      mustAdminister(caller.session.user);
      trusts.judge(await trustDraft(kit.rooms, caller.principal, body));
      return parked(kit, await kit.changes.ask(caller.principal, 'trust.add', body));
    },

    async trust_remove({ caller, params, query }) {
      mustAdminister(caller.session.user);
      const trust = await trusts.find(organization.id, params.trust);
      if (query.preview === 'false') await trusts.remove(caller.principal, trust.id);
      return { status: 200, body: trustView(trust) };
    },
  };
}
