import { Fault } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { tokenDraft } from '../client-draft.ts';
import { type Kit, parked, present } from '../kit.ts';
import { mustAdminister } from '../rights.ts';
import { pageView, registrationTokenView } from '../views.ts';

type Routes = 'registration_token_list' | 'registration_token_get' | 'registration_token_add' | 'registration_token_end';

/** Tokens with which OAuth clients register themselves, for administrators. */
export function registrationTokenRoutes(kit: Kit): HandlersOf<Routes> {
  const { issuer, organization } = kit.rooms;
  const tokens = issuer.registrationTokens;
  return {
    async registration_token_list({ caller, query }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: pageView(await tokens.list(organization.id, present(query)), registrationTokenView) };
    },

    async registration_token_get({ caller, params }) {
      mustAdminister(caller.session.user);
      const found = await tokens.find(organization.id, params.token);
      if (found === undefined) throw new Fault('not_found');
      return { status: 200, body: registrationTokenView(found) };
    },

    async registration_token_add({ caller, body }) {
      mustAdminister(caller.session.user);
      tokens.judge(tokenDraft(body));
      return parked(kit, await kit.changes.ask(caller.principal, 'registration_token.add', body));
    },

    async registration_token_end({ caller, params }) {
      mustAdminister(caller.session.user);
      await tokens.end(caller.principal, params.token);
      return { status: 200, body: {} };
    },
  };
}
