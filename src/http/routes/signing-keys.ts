import { Fault } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { containing } from '../few.ts';
import { importedKeyDraft } from '../imported-key-draft.ts';
import { type Kit, parked } from '../kit.ts';
import { mustAdminister } from '../rights.ts';
import { importedKeyView, signingKeyView } from '../views.ts';

type Routes = 'signing_key_list' | 'signing_key_rotate' | 'signing_key_import' | 'signing_key_withdraw';

/** The keys that sign the tokens of the organization, and those that only verify, for its administrators. */
export function signingKeyRoutes(kit: Kit): HandlersOf<Routes> {
  const { issuer, organization } = kit.rooms;
  return {
    async signing_key_list({ caller, query: { text } }) {
      mustAdminister(caller.session.user);
      const items = (await issuer.signingKeys(organization.id)).map(signingKeyView);
      const imported = (await issuer.importedKeys.published(organization.id)).map(importedKeyView);
      return { status: 200, body: { items: containing(items, text), imported: containing(imported, text) } };
    },

    async signing_key_rotate({ caller, body }) {
      mustAdminister(caller.session.user);
      return parked(kit, await kit.changes.ask(caller.principal, 'signing_key.rotate', body));
    },

    async signing_key_import({ caller, body }) {
      mustAdminister(caller.session.user);
      issuer.importedKeys.judge(importedKeyDraft(body));
      return parked(kit, await kit.changes.ask(caller.principal, 'signing_key.import', body));
    },

    async signing_key_withdraw({ caller, params, query }) {
      mustAdminister(caller.session.user);
      const found = (await issuer.importedKeys.published(organization.id)).find(({ kid }) => kid === params.kid);
      if (found === undefined) throw new Fault('not_found');
      if (query.preview === 'false') await issuer.importedKeys.remove(caller.principal, found.kid);
      return { status: 200, body: importedKeyView(found) };
    },
  };
}
