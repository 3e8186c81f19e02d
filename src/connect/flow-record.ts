import { z } from 'zod';
import { type Actor, Fault, type FlowId, newId, type OrganizationId, Secret, type VaultId } from '#kernel';
import type { Writing } from '#store';
import type { Flow, FlowState } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import { type FlowRow, flowById, insertFlow, removeOldFlows, updateFlow } from './flows.sql.ts';
import { flowLabel } from './labels.ts';

/** What a flow keeps sealed until it ends. */
const docSchema = z.object({
  vault: z.string(),
  force: z.boolean(),
  scopes: z.array(z.string()),
  allow: z.array(z.object({ agent: z.string(), allow: z.string() })),
  /** Digest of the definition when it began: a change on the way ends the flow. */
  digest: z.string(),
  /** Where the flow talks to, as resolved when it began. */
  endpoints: z.record(z.string(), z.string()).default({}),
  /** The authorization server names itself in every answer (RFC 9207). */
  issuer: z.string().optional(),
  names_itself: z.boolean().default(false),
  client: z
    .object({
      id: z.string(),
      secret: z.string().optional(),
      authentication: z.enum(['none', 'client_secret_basic', 'client_secret_post']),
    })
    .optional(),
  /** Of a code flow, once a browser opened it. */
  attempt: z.object({ session: z.string(), state_hash: z.string(), verifier: z.string() }).optional(),
  /** The account's own hosts, where the provider has tenant hosts and the person named them before leaving. */
  hosts: z.array(z.string()).default([]),
  device: z.object({ code: z.string(), interval: z.number() }).optional(),
});
export type FlowDoc = z.infer<typeof docSchema>;

/** A flow as it is stored, opened. */
export interface FlowRecord {
  readonly row: FlowRow;
  readonly doc: FlowDoc;
  readonly startedBy: Actor;
  readonly state: FlowState;
}

const startedBySchema = z.union([z.object({ kind: z.literal('user'), id: z.string() }), z.object({ kind: z.literal('operator') })]);

type Deps = Pick<ConnectDeps, 'records' | 'vault' | 'clock'>;

export interface NewFlow {
  readonly id: FlowId;
  readonly organization: OrganizationId;
  readonly provider: string;
  readonly name: string;
  readonly kind: Flow['kind'];
  readonly startedBy: Actor;
  readonly state: FlowState;
  readonly expiresAt: number;
  readonly doc: FlowDoc;
}

export function newFlowId(deps: Pick<ConnectDeps, 'clock'>): FlowId {
  return newId('flw', deps.clock.now());
}

/** Encloses the document first; the returned step stores the row in the caller's transaction. */
export async function prepareFlow(deps: Deps, flow: NewFlow): Promise<(tx: Writing) => Promise<void>> {
  const keys = { id: flow.id, organization_id: flow.organization };
  const envelope = await deps.vault.enclose(flowLabel(keys), new Secret(JSON.stringify(flow.doc)));
  const now = deps.clock.now();
  return async (tx) => {
    await removeOldFlows(tx, flow.organization, now - 24 * 3600_000);
    await insertFlow(tx, {
      ...keys,
      created_at: now,
      provider_id: flow.provider,
      connection_name: flow.name,
      kind: flow.kind,
      started_by_json: JSON.stringify(flow.startedBy),
      status_json: JSON.stringify(flow.state),
      sealed_envelope: envelope,
      expires_at: flow.expiresAt,
      version: 1,
    });
  };
}

export async function loadFlow(deps: Deps, organization: OrganizationId, id: FlowId): Promise<FlowRecord | undefined> {
  const row = await deps.records.in(organization).read((tx) => flowById(tx, organization, id));
  if (row?.sealed_envelope == null) return undefined;
  const doc = docSchema.parse(JSON.parse((await deps.vault.disclose(flowLabel(row), row.sealed_envelope)).reveal()));
  return {
    row,
    doc,
    startedBy: startedBySchema.parse(JSON.parse(row.started_by_json)) as Actor,
    state: JSON.parse(row.status_json) as FlowState,
  };
}

/** Stores a changed document. False: the flow went on meanwhile. */
export async function saveDoc(deps: Deps, { row }: FlowRecord, doc: FlowDoc): Promise<boolean> {
  const envelope = await deps.vault.enclose(flowLabel(row), new Secret(JSON.stringify(doc)));
  const change = { sealed_envelope: envelope, status_json: row.status_json };
  return deps.records.in(row.organization_id).write((tx) => updateFlow(tx, row.organization_id, row, change));
}

/**
 * A document for a flow that has ended: its verifier, device code and client are of no use any more and go. Encloses
 * first; the returned step ends the flow in the caller's transaction. @throws {Fault} `link_ended` when it ended before
 */
export async function prepareEnd(deps: Deps, { row, doc }: FlowRecord): Promise<(tx: Writing, state: FlowState) => Promise<void>> {
  const { attempt: _attempt, device: _device, client: _client, ...left } = doc;
  const envelope = await deps.vault.enclose(flowLabel(row), new Secret(JSON.stringify(left)));
  return async (tx, state) => {
    const change = { sealed_envelope: envelope, status_json: JSON.stringify(state) };
    if (!(await updateFlow(tx, row.organization_id, row, change))) throw new Fault('link_ended');
  };
}

/** The flow as others see it; one that ran out of time has failed. */
export function flowOf(deps: Pick<ConnectDeps, 'clock'>, { row, doc, state }: FlowRecord): Flow {
  const open = state.kind === 'waiting' || state.kind === 'device';
  const shown: FlowState =
    open && deps.clock.now() >= row.expires_at ? { kind: 'failed', code: 'link_ended', detail: 'nobody completed it in time' } : state;
  return {
    id: row.id,
    organization: row.organization_id,
    provider: row.provider_id,
    name: row.connection_name,
    kind: row.kind as Flow['kind'],
    scopes: doc.scopes,
    allow: doc.allow,
    state: shown,
    expiresAt: row.expires_at,
  };
}

/** A flow that can still be completed by this party. @throws {Fault} `not_found`, `forbidden`, `link_ended` */
export async function openFlow(
  deps: Deps,
  organization: OrganizationId,
  id: FlowId,
  by: (startedBy: Actor) => boolean,
): Promise<FlowRecord> {
  const record = await loadFlow(deps, organization, id);
  if (record === undefined) throw new Fault('not_found');
  if (!by(record.startedBy)) throw new Fault('forbidden');
  const { kind } = flowOf(deps, record).state;
  if (kind !== 'waiting' && kind !== 'device') throw new Fault('link_ended');
  return record;
}

export function vaultOf(doc: FlowDoc): VaultId {
  return doc.vault as VaultId;
}
