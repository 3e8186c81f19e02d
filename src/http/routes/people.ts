import { Fault, parseId } from '#kernel';
import type { Session, SessionView } from '#signin';
import type { HandlersOf } from '../api.ts';
import { type Kit, parked, present } from '../kit.ts';
import { administers, mustAdminister } from '../rights.ts';
import { jobView, pageView, sessionView } from '../views.ts';
import { viewOf } from './agents.ts';

type Routes =
  | 'whoami'
  | 'key_list'
  | 'key_rotate'
  | 'key_add'
  | 'job_get'
  | 'session_list'
  | 'session_get'
  | 'session_end'
  | 'command_line_offer'
  | 'command_line_collect'
  | 'setup_link';

/** Who is asking, their sessions, and what only the people who run the installation do. */
export function peopleRoutes(kit: Kit): HandlersOf<Routes> {
  const { rooms } = kit;
  const { signin, organization, place } = rooms;
  return {
    async whoami({ caller }) {
      const { id, slug, name, issuer } = organization;
      const whose =
        caller.kind === 'agent'
          ? { agent: await viewOf(kit, caller.agent) }
          : { user: { id: caller.session.user.id, email: caller.session.user.email, role: caller.session.user.role } };
      return { status: 200, body: { kind: caller.kind, organization: { id, slug, name, issuer }, ...whose, place: { ...place } } };
    },

    async key_list({ caller }) {
      mustAdminister(caller.session.user);
      return { status: 200, body: { items: (await rooms.vault.keys()).map((key) => ({ ...key })) } };
    },

    async key_rotate({ caller, body }) {
      mustAdminister(caller.session.user);
      return parked(kit, await kit.changes.ask(caller.principal, 'key.rotate', body));
    },

    async key_add({ caller }) {
      mustAdminister(caller.session.user);
      return parked(kit, await kit.changes.ask(caller.principal, 'key.add', {}));
    },

    async job_get({ caller, params }) {
      mustAdminister(caller.session.user);
      const id = parseId('job', params.job);
      const job = id === undefined ? undefined : await rooms.jobs.view(id);
      if (job === undefined) throw new Fault('not_found');
      return { status: 200, body: jobView(job) };
    },

    async session_list({ caller, query: { of, ...query } }) {
      const { user } = caller.session;
      if (of === 'everybody') mustAdminister(user);
      const whose = of === 'everybody' ? {} : { user: user.id };
      return { status: 200, body: pageView(await signin.everySession(organization.id, { ...present(query), ...whose }), sessionView) };
    },

    async session_get({ caller, params }) {
      const found = await sessionFor(kit, caller.session, params.session);
      const ends = await rooms.issuer.hangingOn(organization.id, found.sid);
      return { status: 200, body: { ...sessionView(found), ends: { grants: ends.grants, clients: [...ends.clients] } } };
    },

    async session_end({ caller, params }) {
      if (params.session === 'current' || params.session === caller.session.id) {
        await signin.end(organization.id, caller.session.id, 'signed_out');
        return { status: 200, body: {} };
      }
      const found = await sessionFor(kit, caller.session, params.session);
      const own = found.email === caller.session.user.email;
      await signin.end(organization.id, found.id, own ? 'ended_by_person' : 'ended_by_administrator', caller.principal);
      return { status: 200, body: {} };
    },

    async command_line_offer({ request, body }) {
      const offer = await signin.offerCommandLine(organization.id, body.label, request.address);
      return {
        status: 201,
        body: {
          device_code: offer.deviceCode.reveal(),
          user_code: offer.userCode,
          url: `${rooms.publicUrl}/device`,
          expires_at: offer.expiresAt,
          interval: offer.interval,
        },
      };
    },

    async command_line_collect({ body }) {
      const started = await signin.collectCommandLine(body.device_code);
      if (started === undefined) return { status: 202, body: { status: 'waiting' } };
      const { session, bearer } = started;
      return { status: 200, body: { session: bearer.reveal(), user: session.user.email, expires_at: session.expiresAt } };
    },

    async setup_link({ request }) {
      if (!request.local) throw new Fault('forbidden', { hint: 'run it on the machine of the server' });
      const { token, expiresAt } = await signin.setupLink();
      return { status: 201, body: { url: `${rooms.publicUrl}/setup?token=${encodeURIComponent(token.reveal())}`, expires_at: expiresAt } };
    },
  };
}

/** A session of the caller's; for administrators, anybody's. @throws {Fault} `not_found` */
async function sessionFor({ rooms }: Kit, { user }: Session, wanted: string): Promise<SessionView> {
  const id = parseId('ses', wanted);
  const whose = administers(user) ? {} : { user: user.id };
  const { items } = id === undefined ? { items: [] } : await rooms.signin.everySession(rooms.organization.id, { ...whose, id, limit: 1 });
  const [found] = items;
  if (found === undefined) throw new Fault('not_found');
  return found;
}
