import { checkReach, type Reach } from '#api';
import { Fault, type Principal, parseId } from '#kernel';
import type { Permission } from '#policy';
import type { Session } from '#signin';
import type { HandlersOf } from '../api.ts';
import type { Caller } from '../callers.ts';
import { draftOf, type PermissionChange } from '../confirmations.ts';
import { confirmationView, type Kit, parked, present } from '../kit.ts';
import { mayAnswer, mustControl } from '../rights.ts';
import { pageView } from '../views.ts';

type Routes = 'permission_list' | 'permission_give' | 'permission_end' | 'permission_explain' | 'confirmation_get' | 'confirmation_list';

/** Permissions: asked for, ended, explained; and the confirmations they wait for. */
export function permissionRoutes(kit: Kit): HandlersOf<Routes> {
  const { rooms, look, changes } = kit;
  const { policy, organization } = rooms;
  return {
    async permission_list({ caller, query }) {
      const agent = query.agent === undefined ? undefined : await look.agent(query.agent);
      const own = caller.kind === 'agent' ? caller.agent : agent;
      if (caller.kind === 'agent' && agent !== undefined && agent.id !== caller.agent.id) throw new Fault('agent_unknown');
      const connection = query.connection === undefined ? undefined : await look.connection(caller.principal, query.connection);
      const listing = await policy.list(
        organization.id,
        present({
          agent: own?.id,
          connection: connection?.id,
          text: query.text,
          includeEnded: query.ended === 'true',
          cursor: query.cursor,
          limit: query.limit,
        }),
      );
      const items = await Promise.all(listing.items.map((permission) => permissionView(kit, permission)));
      return { status: 200, body: { items, ...present({ next: listing.next }) } };
    },

    async permission_give({ caller, body }) {
      const given = await changeOf(kit, caller.session, caller.principal, body);
      if (given.effect === 'allow') return parked(kit, await changes.ask(caller.principal, 'permission.give', given));
      const permission = await rooms.transact((tx) => policy.give(tx, caller.principal, draftOf(given)));
      return { status: 201, body: await permissionView(kit, permission) };
    },

    async permission_end({ caller, params }) {
      const permission = await permissionOf(kit, params.permission);
      await mustGovern(kit, caller.session, permission);
      if (permission.effect === 'deny') {
        return parked(kit, await changes.ask(caller.principal, 'permission.end', { permission: permission.id }));
      }
      const ended = await rooms.transact((tx) => policy.end(tx, caller.principal, permission.id));
      return { status: 200, body: await permissionView(kit, ended) };
    },

    permission_explain: async ({ caller, body }) => ({ status: 200, body: await explain(kit, caller, body) }),

    async confirmation_get({ caller, params }) {
      const id = parseId('cnf', params.confirmation);
      const found = id === undefined ? undefined : await policy.confirmation(organization.id, id);
      if (found === undefined || !mayAnswer(caller.session.user, found)) throw new Fault('not_found');
      return { status: 200, body: confirmationView(found, rooms.publicUrl) };
    },

    async confirmation_list({ caller, query }) {
      const listing = await policy.confirmations(
        organization.id,
        present({ status: query.status, cursor: query.cursor, limit: query.limit }),
      );
      const visible = listing.items.filter((confirmation) => mayAnswer(caller.session.user, confirmation));
      return {
        status: 200,
        body: pageView({ items: visible, ...present({ next: listing.next }) }, (confirmation) =>
          confirmationView(confirmation, rooms.publicUrl),
        ),
      };
    },
  };
}

export async function permissionView({ look }: Kit, permission: Permission) {
  const { target } = permission;
  const names = target.kind === 'connection' ? await look.names(target.id) : { provider: target.id, name: undefined };
  return {
    id: permission.id,
    effect: permission.effect,
    ...present({
      agent: permission.agent === undefined ? undefined : ((await look.handle(permission.agent)) ?? permission.agent),
      provider: names?.provider,
      connection: names?.name,
      level: permission.level,
      expires_at: permission.expiresAt,
      ended_at: permission.endedAt,
    }),
    reach: copyOf(permission.reach),
    pass_credential: permission.passCredential,
    created_at: permission.createdAt,
  };
}

function copyOf(reach: Reach): Reach {
  return {
    classes: [...reach.classes],
    operations: [...reach.operations],
    patterns: reach.patterns.map(({ methods, path }) => ({ methods: [...methods], path })),
    everything: reach.everything,
  };
}

interface Asked {
  readonly effect: 'allow' | 'deny';
  readonly agent?: string | undefined;
  readonly provider: string;
  readonly connection?: string | undefined;
  readonly reach: Reach;
  readonly level?: 'separated' | undefined;
  readonly pass_credential: boolean;
  readonly expires_at?: number | undefined;
}

/** The permission that was asked for, by ids, if this person may give it. */
async function changeOf(kit: Kit, session: Session, principal: Principal, asked: Asked): Promise<PermissionChange> {
  const agent = asked.agent === undefined ? undefined : await kit.look.agent(asked.agent);
  if (agent !== undefined) mustControl(session.user, agent);
  const provider = await kit.rooms.connect.provider(kit.rooms.organization.id, asked.provider);
  const connection =
    asked.connection === undefined ? undefined : await kit.look.connection(principal, `${provider.id}/${asked.connection}`);
  if (asked.expires_at !== undefined && asked.expires_at <= kit.rooms.clock.now()) {
    throw new Fault('invalid_request', { fields: { '/expires_at': 'give a time that is still to come' } });
  }
  return {
    effect: asked.effect,
    ...(agent === undefined ? { owner: session.user.id } : { agent: agent.id }),
    target: connection === undefined ? { kind: 'provider', id: provider.id } : { kind: 'connection', id: connection.id },
    reach: copyOf(checkReach(asked.reach)),
    pass_credential: asked.pass_credential,
    ...present({ level: asked.level, expires_at: asked.expires_at }),
  };
}

/** @throws {Fault} `not_found` */
async function permissionOf({ rooms }: Kit, reference: string): Promise<Permission> {
  const id = parseId('prm', reference);
  const found = id === undefined ? undefined : await rooms.policy.permission(rooms.organization.id, id);
  if (found === undefined) throw new Fault('not_found');
  return found;
}

async function mustGovern({ look }: Kit, session: Session, permission: Permission): Promise<void> {
  if (permission.agent !== undefined) return mustControl(session.user, await look.agent(permission.agent));
  if (permission.owner !== session.user.id && session.user.role === 'member') throw new Fault('not_found');
}

interface Explained {
  readonly agent: string;
  readonly method: string;
  readonly url: string;
  readonly connection?: string | undefined;
  readonly level: 'separated' | 'cooperative';
}

/** What would become of this call now, and why; nothing is sent. */
async function explain({ rooms, look }: Kit, caller: Exclude<Caller, { kind: 'anyone' }>, asked: Explained) {
  const agent = await look.agent(asked.agent);
  if (caller.kind !== 'agent') mustControl(caller.session.user, agent);
  else if (caller.agent.id !== agent.id) throw new Fault('agent_unknown');
  const { level, connection } = asked;
  const { operation, considered, ...foreseen } = await rooms.broker.foresee({ agent, level, connection, call: callTo(asked) });
  return {
    ...present(foreseen),
    ...present({ operation: operation?.id }),
    classes: [...(operation?.classes ?? [])],
    considered: considered.map(({ permission, applies, why }) => ({ permission: permission.id, applies, why })),
  };
}

function callTo({ method, url }: Pick<Explained, 'method' | 'url'>) {
  const { protocol, hostname: host, port, pathname: path, search } = new URL(url);
  const scheme = protocol === 'http:' ? 'http' : 'https';
  return { scheme, method, host, port: Number(port || (scheme === 'http' ? 80 : 443)), path, query: search.slice(1) } as const;
}
