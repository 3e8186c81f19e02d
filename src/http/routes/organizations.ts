import { Fault, parseId } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { type Kit, parked, present } from '../kit.ts';
import { mustAdminister } from '../rights.ts';
import { invitationView, organizationView, pageView } from '../views.ts';

type Routes = 'organization_list' | 'organization_add' | 'invitation_list' | 'invitation_add' | 'invitation_end';

/** The organizations of the installation, which its operator makes, and who is invited to each. */
export function organizationRoutes(kit: Kit): HandlersOf<Routes> {
  const { identity, organization } = kit.rooms;
  return {
    async organization_list({ caller, query }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: pageView(await identity.organizations(present(query)), organizationView) };
    },

    async organization_add({ request, body }) {
      if (!request.local) throw new Fault('forbidden', { hint: 'run it on the machine of the server' });
      const owner = { email: body.owner, role: 'owner', tokenHash: body.token_sha256 } as const;
      const made = await identity.createOrganization({ slug: body.slug, name: body.name, owner });
      return { status: 201, body: organizationView(made) };
    },

    async invitation_list({ caller, query }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: pageView(await identity.invitations(organization.id, present(query)), invitationView) };
    },

    async invitation_add({ caller, body }) {
      mustAdminister(caller.session.user);
      if (body.role === 'owner' && caller.session.user.role !== 'owner') throw new Fault('forbidden');
      return parked(kit, await kit.changes.ask(caller.principal, 'invitation.add', body));
    },

    async invitation_end({ caller, params, query }) {
      mustAdminister(caller.session.user);
      const id = parseId('inv', params.invitation);
      const [found] = id === undefined ? [] : (await identity.invitations(organization.id, { text: id, limit: 1 })).items;
      if (found === undefined) throw new Fault('not_found');
      if (query.preview === 'false') await identity.withdrawInvitation(caller.principal, found.id);
      return { status: 200, body: invitationView(found) };
    },
  };
}
