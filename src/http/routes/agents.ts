import type { Agent } from '#identity';
import { Fault, type UserId } from '#kernel';
import type { HandlersOf } from '../api.ts';
import { agentProof, type Caller } from '../callers.ts';
import { createHosts } from '../hosts.ts';
import type { Incoming } from '../incoming.ts';
import { type Kit, parked, present } from '../kit.ts';
import { mustControl, owns } from '../rights.ts';
import { agentView, pageView } from '../views.ts';

type Routes =
  | 'agent_list'
  | 'agent_get'
  | 'agent_register'
  | 'agent_claim_offer'
  | 'agent_claim_state'
  | 'agent_claim_answer'
  | 'agent_confirm'
  | 'agent_suspend'
  | 'agent_reactivate'
  | 'agent_revoke';

/** Agents: registering with a proof, claiming by a code, and what their owner may do with them. */
export function agentRoutes(kit: Kit): HandlersOf<Routes> {
  const { rooms, look } = kit;
  const view = (agent: Agent) => viewOf(kit, agent);
  return {
    async agent_list({ query }) {
      const listing = await rooms.identity.agents(rooms.organization.id, present(query));
      const emails = await emailsOf(kit, listing.items);
      return {
        status: 200,
        body: pageView(listing, (agent) => agentView(agent, agent.owner?.kind === 'user' ? emails.get(agent.owner.id) : undefined)),
      };
    },

    async agent_get({ caller, params }) {
      const agent = await look.agent(params.agent);
      if (caller.kind === 'agent' && caller.agent.id !== agent.id) throw new Fault('agent_unknown');
      return { status: 200, body: await view(agent) };
    },

    async agent_register({ request, body }) {
      const hosts = createHosts(rooms.publicUrl, rooms.hosts);
      if (!request.local && !(request.fromHere && hosts.loopbackOnly)) await mustBeInvited(kit, request);
      const proof = request.headers.authorization ?? '';
      if (!/^pop /i.test(proof)) throw new Fault('invalid_proof', { hint: 'sign the request with the key that is registered' });
      const agent = await rooms.identity.enrol({
        organization: rooms.organization.id,
        handle: body.handle,
        publicJwk: body.public_jwk,
        proof: agentProof(hosts, request, proof),
        address: request.address,
      });
      return { status: 201, body: await view(agent) };
    },

    async agent_claim_offer({ request, caller, params, body }) {
      const agent = self(caller, params.agent);
      const offer = await rooms.identity.offerClaim(agent, body.host, request.address);
      return {
        status: 201,
        body: {
          code: offer.code.reveal(),
          url: `${rooms.publicUrl}/claim`,
          expires_at: offer.expiresAt,
          fingerprint: agent.thumbprint,
        },
      };
    },

    async agent_claim_state({ caller, params }) {
      const state = await rooms.identity.claimState(self(caller, params.agent));
      return {
        status: 200,
        body: {
          kind: state.kind,
          ...(state.kind === 'typed' ? { by: state.by.email } : {}),
          ...(state.kind === 'offered' ? { expires_at: state.expiresAt } : {}),
        },
      };
    },

    async agent_claim_answer({ caller, params, body }) {
      const agent = self(caller, params.agent);
      if (body.accept) return { status: 200, body: await view(await rooms.identity.acceptClaim(agent)) };
      await rooms.identity.refuseClaim(agent);
      return { status: 200, body: await view(agent) };
    },

    async agent_confirm({ caller, params }) {
      const agent = await look.agent(params.agent);
      if (!owns(caller.session.user, agent)) throw new Fault('agent_unknown');
      return parked(kit, await kit.changes.ask(caller.principal, 'agent.confirm', { agent: agent.id }));
    },

    async agent_suspend({ caller, params }) {
      const agent = await look.agent(params.agent);
      mustControl(caller.session.user, agent);
      return { status: 200, body: await view(await rooms.identity.suspend(caller.principal, agent.id)) };
    },

    async agent_reactivate({ caller, params }) {
      const agent = await look.agent(params.agent);
      mustControl(caller.session.user, agent);
      return parked(kit, await kit.changes.ask(caller.principal, 'agent.reactivate', { agent: agent.id }));
    },

    async agent_revoke({ caller, params, body }) {
      const agent = await look.agent(params.agent);
      mustControl(caller.session.user, agent);
      const ends = await whatEnds(kit, agent);
      const left = body.preview ? agent : await rooms.identity.revoke(caller.principal, agent.id);
      return { status: 200, body: { agent: await view(left), ends } };
    },
  };
}

/**
 * From elsewhere an agent registers only on the word of a signed-in person's command line, given beside the proof of
 * its key (SECURITY 22). @throws {Fault} `registration_closed`, `unauthenticated`
 */
async function mustBeInvited({ rooms }: Kit, { headers }: Incoming): Promise<void> {
  const invitation = headers['gatehouse-invitation'];
  if (typeof invitation !== 'string') throw new Fault('registration_closed');
  await rooms.authenticate.command_line(invitation);
}

/** An agent speaks here for itself alone. @throws {Fault} `agent_unknown` */
function self(caller: Extract<Caller, { kind: 'agent' }>, reference: string): Agent {
  if (reference !== caller.agent.id && reference !== caller.agent.handle) throw new Fault('agent_unknown');
  return caller.agent;
}

export async function viewOf(kit: Kit, agent: Agent) {
  return agentView(agent, agent.owner?.kind === 'user' ? await kit.look.email(agent.owner.id) : undefined);
}

async function emailsOf(kit: Kit, agents: readonly Agent[]): Promise<ReadonlyMap<UserId, string | undefined>> {
  const owners = new Set(agents.flatMap((agent) => (agent.owner?.kind === 'user' ? [agent.owner.id] : [])));
  return new Map(await Promise.all([...owners].map(async (id) => [id, await kit.look.email(id)] as const)));
}

/** How many live runs and permissions go with the agent. */
async function whatEnds({ rooms }: Kit, agent: Agent): Promise<{ runs: number; permissions: number }> {
  const runs = await count((cursor) => rooms.broker.runs(rooms.organization.id, present({ agent: agent.id, cursor, limit: 200 })));
  const permissions = await count((cursor) => rooms.policy.list(rooms.organization.id, present({ agent: agent.id, cursor, limit: 200 })));
  return {
    runs: runs.filter((run) => run.endedAt === undefined).length,
    permissions: permissions.filter((permission) => permission.agent === agent.id).length,
  };
}

/** Every item of a listing, up to a bound that no person will ever read past. */
export async function count<T>(
  page: (cursor: string | undefined) => Promise<{ readonly items: readonly T[]; readonly next?: string }>,
): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const listing = await page(cursor);
    items.push(...listing.items);
    cursor = listing.next;
  } while (cursor !== undefined && items.length < 10_000);
  return items;
}
