import type { Connection } from '#connect';
import type { Agent } from '#identity';
import { type AgentId, type ConnectionId, Fault, type Principal, parseId, type UserId } from '#kernel';
import type { Rooms } from './contract.ts';

/** From what a caller wrote to the thing meant, and from ids to the names people know. */
export interface Lookups {
  /** By id or handle. @throws {Fault} `agent_unknown` */
  agent(reference: string): Promise<Agent>;
  /** By id, `provider/name`, or `provider` for its default; only in the principal's vaults. @throws {Fault} `connection_unknown` */
  connection(principal: Principal, reference: string): Promise<Connection>;
  handle(agent: AgentId): Promise<string | undefined>;
  email(user: UserId): Promise<string | undefined>;
  /** `{ provider, name }` of a connection. */
  names(connection: ConnectionId): Promise<Pick<Connection, 'provider' | 'name'> | undefined>;
}

type LookupDeps = Pick<Rooms, 'identity' | 'connect' | 'organization'>;

export function createLookups({ identity, connect, organization }: LookupDeps): Lookups {
  const visible = async (principal: Principal, reference: string) => {
    const vaults = await identity.vaultsOf(principal);
    const id = parseId('con', reference);
    if (id !== undefined) {
      const found = await connect.connection(organization.id, id);
      return found !== undefined && vaults.includes(found.vault) ? found : undefined;
    }
    const [provider = '', name] = reference.split('/', 2);
    const candidates = await connect.candidates(organization.id, vaults, provider);
    return candidates.find((candidate) => (name === undefined ? candidate.isDefault : candidate.name === name));
  };

  return Object.freeze({
    async agent(reference: string) {
      const id = parseId('agt', reference);
      const byId = id === undefined ? undefined : await identity.agent(organization.id, id);
      const found = byId ?? (await identity.agentByHandle(organization.id, reference));
      if (found === undefined) throw new Fault('agent_unknown');
      return found;
    },
    async connection(principal: Principal, reference: string) {
      const found = await visible(principal, reference);
      if (found === undefined) throw new Fault('connection_unknown');
      return found;
    },
    handle: async (agent: AgentId) => (await identity.agent(organization.id, agent))?.handle,
    email: async (user: UserId) => (await identity.user(organization.id, user))?.email,
    names: (connection: ConnectionId) => connect.connection(organization.id, connection),
  });
}
