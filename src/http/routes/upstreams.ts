import { Fault } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { type Kit, parked, present } from '../kit.ts';
import { mustAdminister } from '../rights.ts';
import { upstreamDraft, upstreamFacts, upstreamView } from '../upstream-draft.ts';

type Routes = 'upstream_list' | 'upstream_get' | 'upstream_add' | 'upstream_test' | 'upstream_remove';

/** Upstream identity providers of the organization, for its administrators. */
export function upstreamRoutes(kit: Kit): HandlersOf<Routes> {
  const { signin, organization } = kit.rooms;
  const { upstreams } = signin;
  const found = async (name: string) => {
    const upstream = await upstreams.find(organization.id, name);
    if (upstream === undefined) throw new Fault('upstream_unknown');
    return upstream;
  };
  return {
    async upstream_list({ caller, query }) {
      mustAdminister(caller.session.user);
      const { items, next } = await upstreams.list(organization.id, present(query));
      const views = await Promise.all(items.map(async (one) => upstreamView(one, await upstreams.callback(one))));
      return { status: 200, body: { items: views, ...(next === undefined ? {} : { next }) } };
    },

    async upstream_get({ caller, params }) {
      mustAdminister(caller.session.user);
      const upstream = await found(params.upstream);
      return { status: 200, body: upstreamView(upstream, await upstreams.callback(upstream)) };
    },

    async upstream_add({ caller, body }) {
      mustAdminister(caller.session.user);
      const draft = upstreamDraft(body);
      const held = await upstreams.hold(caller.principal, draft);
      return parked(kit, await kit.changes.ask(caller.principal, 'upstream.add', { ...upstreamFacts(draft), held }));
    },

    async upstream_test({ caller, params }) {
      mustAdminister(caller.session.user);
      const checks = await upstreams.test(organization.id, params.upstream);
      return { status: 200, body: { works: checks.every(({ holds }) => holds), checks: checks.map((check) => ({ ...check })) } };
    },

    async upstream_remove({ caller, params, query }) {
      mustAdminister(caller.session.user);
      const only = query.preview === 'true';
      const { upstream, linked } = await (only
        ? upstreams.ends(organization.id, params.upstream)
        : upstreams.remove(caller.principal, params.upstream));
      return { status: 200, body: { upstream: upstreamView(upstream, await upstreams.callback(upstream)), linked } };
    },
  };
}
