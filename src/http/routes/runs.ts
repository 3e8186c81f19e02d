import { type AgentId, Fault, parseId, type RunId } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { type Kit, present } from '../kit.ts';
import { administers } from '../rights.ts';
import { eventView, pageView, runView, verificationView } from '../views.ts';

type Routes = 'run_start' | 'run_renew' | 'run_end' | 'run_list' | 'event_list' | 'event_verify';

/** Runs of agents, and the trail of what happened. */
export function runRoutes(kit: Kit): HandlersOf<Routes> {
  const { rooms, look } = kit;
  return {
    async run_start({ request, caller, body }) {
      const started = await rooms.broker.startRun(caller.agent, body);
      return {
        status: 201,
        body: {
          run: started.run,
          credential: started.credential.reveal(),
          credential_expires_at: started.credentialExpiresAt,
          authority_pem: started.authorityPem,
          variables: { ...started.variables },
          connections: started.connections.map(({ provider, name, hosts }) => ({ provider, name, hosts: [...hosts] })),
          ...present({ proxy_socket: request.local ? rooms.proxySocketPath : undefined }),
          warnings: [],
        },
      };
    },

    async run_renew({ caller, params }) {
      const { credential, expiresAt } = await rooms.broker.renewRun(caller.agent, runId(params.run));
      return { status: 200, body: { credential: credential.reveal(), credential_expires_at: expiresAt } };
    },

    async run_end({ caller, params, body }) {
      await rooms.broker.endRun(caller.agent, runId(params.run), body.reason);
      return { status: 200, body: {} };
    },

    async run_list({ query }) {
      const agent = query.agent === undefined ? undefined : await look.agent(query.agent);
      const listing = await rooms.broker.runs(
        rooms.organization.id,
        present({ agent: agent?.id, cursor: query.cursor, limit: query.limit }),
      );
      const ids = [...new Set(listing.items.map((run) => run.agent))];
      const handles = new Map<AgentId, string | undefined>(await Promise.all(ids.map(async (id) => [id, await look.handle(id)] as const)));
      return { status: 200, body: pageView(listing, (run) => runView(run, handles.get(run.agent))) };
    },

    async event_list({ caller, query }) {
      const { user } = caller.session;
      // A member sees what was done for them; an administrator sees everything.
      const subject = administers(user) ? query.subject : `user:${user.id}`;
      if (query.follow !== undefined) {
        const { events, position } = await rooms.audit.follow(rooms.organization.id, present({ ...query, subject }), query.follow);
        return { status: 200, body: { items: events.map(eventView), follow: position } };
      }
      const { events, next } = await rooms.audit.search(rooms.organization.id, present({ ...query, subject }));
      return { status: 200, body: pageView({ items: events, ...present({ next }) }, eventView) };
    },

    event_verify: async () => ({ status: 200, body: verificationView(await rooms.audit.verify(rooms.organization.id)) }),
  };
}

function runId(reference: string): RunId {
  const id = parseId('run', reference);
  if (id === undefined) throw new Fault('not_found');
  return id;
}
