import { type ConnectionId, Fault, type FlowId, newId, type Principal, type SessionId, type UserId } from '#kernel';
import { isUniqueViolation, spend, type Writing } from '#store';
import { type Account, accountLabel } from './account.ts';
import { bindingDigest, originsOf } from './binding.ts';
import { connectedJson, connectionOf, type Pinned, type StoredCredential, sealable, statusJson } from './connection.ts';
import {
  type ConnectionChange,
  type ConnectionRow,
  connectionById,
  connectionByName,
  connectionsInVault,
  insertConnection,
  updateConnection,
} from './connections.sql.ts';
import type { Connection } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import { type FlowRecord, loadFlow, prepareEnd, vaultOf } from './flow-record.ts';
import { nextVersion, settle } from './keeping.ts';
import { pendingLabel } from './labels.ts';
import type { Provider } from './provider.ts';

/** A single-use state, and the session that brought it. */
export interface BroughtState {
  readonly state: string;
  readonly session: SessionId;
}

/** What a flow obtained. */
export interface Obtained {
  readonly kind: 'api_key' | 'oauth2';
  readonly credential: StoredCredential;
  readonly account: Account;
  readonly scopes: readonly string[];
  readonly expiresAt: number | undefined;
  readonly client: string | undefined;
  /** What the person named of the provider's tenant hosts. */
  readonly hosts: readonly string[];
  /** Whether its owner surely ended the flow (`endedByOwner`); otherwise it rests until they say yes (SECURITY 4). */
  readonly byOwner: boolean;
  /** The hash of the state goes into the same transaction (SECURITY 14). */
  readonly madeFrom?: BroughtState;
}

type Deps = ConnectDeps;

/**
 * Ends a flow by making its connection, or renewing the one of that name when the person asked for that: flow, row,
 * default, spent value and event in one transaction, the credential sealed in it and then moved to the vault.
 * @throws {Fault} `connection_exists`, `link_ended`
 */
export async function makeConnection(
  deps: Deps,
  by: Principal,
  flow: FlowRecord,
  provider: Provider,
  obtained: Obtained,
): Promise<Connection> {
  const where = { organization_id: by.organization, vault_id: vaultOf(flow.doc), provider_id: provider.id, name: flow.row.connection_name };
  const before = await deps.records.in(by.organization).read((tx) => connectionByName(tx, nameOf(where)));
  if (before !== undefined && !flow.doc.force) throw new Fault('connection_exists');
  const id = before?.id ?? newId('con', deps.clock.now());
  const version = await nextVersion(deps, where);
  const envelope = await deps.vault.enclose(pendingLabel({ ...where, id }, version), sealable(obtained.credential));
  const change = { ...changeOf(deps, provider, flow, obtained), pending_envelope: envelope, sealed_version: version };
  const end = await prepareEnd(deps, flow);
  const owner = flow.startedBy.kind === 'user' ? flow.startedBy.id : null;
  const row = await inOneTransaction(deps, by, async (tx) => {
    await end(tx, { kind: 'connected', connection: id });
    if (obtained.madeFrom !== undefined) await spendState(deps, tx, obtained.madeFrom, id, flow);
    await store(deps, tx, { where, id, owner, before, change });
    await recordMade(deps, tx, by, id, flow, obtained);
    await tx.bump('connections');
    return connectionById(tx, by.organization, id);
  });
  if (row === undefined) throw new Fault('internal');
  await settle(deps, row);
  return connectionOf(row);
}

function nameOf(where: {
  organization_id: ConnectionRow['organization_id'];
  vault_id: ConnectionRow['vault_id'];
  provider_id: string;
  name: string;
}) {
  return { organization: where.organization_id, vault: where.vault_id, provider: where.provider_id, name: where.name };
}

function changeOf(deps: Deps, provider: Provider, flow: FlowRecord, obtained: Obtained): ConnectionChange {
  const pinned: Pinned = {
    digest: bindingDigest(provider, obtained.kind),
    origins: [...originsOf(provider, obtained.hosts)],
    endpoints: flow.doc.endpoints,
    hosts: [...obtained.hosts],
    client: obtained.client ?? null,
    flow: flow.row.id,
  };
  const now = deps.clock.now();
  return {
    kind: obtained.kind,
    status_json: obtained.byOwner ? connectedJson : statusJson({ kind: 'needs_attention', reason: 'unconfirmed', since: now }),
    account_json: JSON.stringify(obtained.account),
    scopes_json: JSON.stringify(obtained.scopes),
    pinned_json: JSON.stringify(pinned),
    expires_at: obtained.expiresAt ?? null,
    refresh_started_at: null,
    refreshed_at: now,
    forced_refresh_at: null,
  };
}

/** A second live connection of the name, or a value spent twice, is told by the database. */
async function inOneTransaction<T>(deps: Deps, by: Principal, fn: (tx: Writing) => Promise<T>): Promise<T> {
  try {
    return await deps.records.in(by.organization).write(fn);
  } catch (error) {
    if (isUniqueViolation(error, 'spent_values.hash')) throw new Fault('link_ended', { cause: error });
    if (isUniqueViolation(error)) throw new Fault('connection_exists', { cause: error });
    throw error;
  }
}

function spendState(deps: Deps, tx: Writing, { state, session }: BroughtState, connection: ConnectionId, flow: FlowRecord): Promise<void> {
  const made: MadeFromState = { connection, flow: flow.row.id, session };
  const expiresAt = flow.row.expires_at + 3600_000;
  return spend(tx, { kind: 'oauth_state', value: state, made: JSON.stringify(made), now: deps.clock.now(), expiresAt });
}

/** What is kept with a state that was spent, for whoever brings it again. */
export interface MadeFromState {
  readonly connection: ConnectionId;
  readonly flow: FlowId;
  /** The session that spent it. */
  readonly session: SessionId;
}

interface Storing {
  readonly where: {
    organization_id: ConnectionRow['organization_id'];
    vault_id: ConnectionRow['vault_id'];
    provider_id: string;
    name: string;
  };
  readonly id: ConnectionId;
  readonly owner: UserId | null;
  readonly before: ConnectionRow | undefined;
  readonly change: ConnectionChange;
}

async function store(deps: Deps, tx: Writing, { where, id, owner, before, change }: Storing): Promise<void> {
  if (before !== undefined) {
    if (!(await updateConnection(tx, where.organization_id, before, change))) throw new Fault('conflict');
    return;
  }
  const others = await connectionsInVault(tx, where.organization_id, where.vault_id, where.provider_id);
  await insertConnection(tx, {
    ...(change as Required<ConnectionChange>),
    ...where,
    id,
    created_at: deps.clock.now(),
    live: 1,
    is_default: others.some((other) => other.is_default === 1) ? 0 : 1,
    shared: 0,
    owner_user_id: owner,
    used_at: null,
    version: 1,
  } as Parameters<typeof insertConnection>[1]);
}

function recordMade(deps: Deps, tx: Writing, by: Principal, id: ConnectionId, flow: FlowRecord, obtained: Obtained): Promise<void> {
  const fields = {
    provider: flow.row.provider_id,
    name: flow.row.connection_name,
    account: accountLabel(obtained.account),
    scopes: obtained.scopes,
    hosts: obtained.hosts,
    rests: !obtained.byOwner,
  };
  return deps.audit.record(tx, { name: 'connection.made', principal: by, connection: id, fields });
}

/** Ends a flow that came to nothing. One that ended otherwise meanwhile stays as it is. */
export async function failFlow(deps: Deps, by: Principal, flow: FlowRecord, code: string, detail: string): Promise<void> {
  const current = await loadFlow(deps, by.organization, flow.row.id);
  if (current === undefined || (current.state.kind !== 'waiting' && current.state.kind !== 'device')) return;
  const end = await prepareEnd(deps, current);
  await deps.records
    .in(by.organization)
    .write(async (tx) => {
      await end(tx, { kind: 'failed', code, detail });
      const fields = { provider: flow.row.provider_id, name: flow.row.connection_name, reason: code };
      await deps.audit.record(tx, { name: 'connection.failed', principal: by, fields });
    })
    .catch((error: unknown) => {
      if (!(error instanceof Fault)) throw error;
    });
}
