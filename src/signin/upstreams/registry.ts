import { z } from 'zod';
import { type UpstreamKind, upstreamKinds } from '#api';
import { Fault, newId, type OrganizationId, type Principal, Secret, type UpstreamId } from '#kernel';
import { bearerValue } from '#oauth';
import { bearerKey, cacheByGeneration, containing, isUniqueViolation, pageLimit, pageOf, rowOfCursor, type Writing } from '#store';
import type { Upstream, UpstreamDraft, UpstreamEnds } from './contract.ts';
import { credentialLabel, credentialOf, credentialText, waitingLabel } from './credentials.ts';
import type { UpstreamGround } from './deps.ts';
import { isPlatforms, issuerOf, judgeDraft } from './draft.ts';
import { countMethods } from './methods.sql.ts';
import { presets } from './presets.ts';
import { removeUpstream } from './removal.ts';
import {
  insertUpstream,
  type NewUpstreamRow,
  type UpstreamRow,
  updateUpstream,
  upstreamBy,
  upstreamsOf,
  upstreamsPage,
} from './upstreams.sql.ts';

/** An upstream, and its client as it is sealed. */
export interface Kept {
  readonly upstream: Upstream;
  readonly envelope: Uint8Array | null;
}

export type Registry = ReturnType<typeof createRegistry>;

/** Longer than a confirmation stays open. */
const heldLife = 20 * 60_000;
const mostOffered = 20;

/** The upstreams of every organization: rows, and a cache that forgets at every change of the topic `identity`. */
export function createRegistry(deps: UpstreamGround) {
  const { records } = deps;
  const offered = cacheByGeneration<readonly Kept[]>(deps.changes, 'identity', 1_000);

  async function find(organization: OrganizationId, name: string): Promise<Kept | undefined> {
    const column = name.startsWith('ups_') ? 'id' : 'name';
    const row = await records.in(organization).read((tx) => upstreamBy(tx, organization, column, name));
    return row === undefined ? undefined : keptOf(row);
  }

  async function wanted(organization: OrganizationId, name: string): Promise<Kept> {
    const found = await find(organization, name);
    if (found === undefined) throw new Fault('upstream_unknown');
    return found;
  }

  return Object.freeze({
    find,
    wanted,
    judge: (organization: OrganizationId, draft: UpstreamDraft) => judge(deps, organization, draft),
    hold: (by: Principal, draft: UpstreamDraft) => hold(deps, by, draft),
    keep: (by: Principal, held: string) => keep(deps, by, held),
    /** As their buttons stand; from a cache. */
    async offered(organization: OrganizationId): Promise<readonly Kept[]> {
      const load = async () => (await records.in(organization).read((tx) => upstreamsOf(tx, organization, mostOffered))).map(keptOf);
      return (await offered.get(organization, load)) ?? [];
    },
    async list(organization: OrganizationId, query: { readonly text?: string; readonly cursor?: string; readonly limit: number }) {
      const limit = pageLimit(query.limit);
      const before = query.cursor === undefined ? undefined : rowOfCursor(query.cursor);
      const text = query.text?.trim().toLowerCase();
      const like = text ? containing(text) : undefined;
      const rows = await records.in(organization).read((tx) => upstreamsPage(tx, organization, { before, limit, like }));
      return pageOf(rows, limit, (row) => keptOf(row).upstream);
    },
    async ends(organization: OrganizationId, name: string): Promise<UpstreamEnds> {
      const { upstream } = await wanted(organization, name);
      return { upstream, linked: await records.in(organization).read((tx) => countMethods(tx, organization, upstream.id)) };
    },
    remove: async (by: Principal, name: string) => removeUpstream(deps, by, (await wanted(by.organization, name)).upstream),
    close: () => offered.close(),
  });
}

/** The one it would take the place of. @throws {Fault} `upstream_unusable` */
async function judge(deps: UpstreamGround, organization: OrganizationId, draft: UpstreamDraft): Promise<Upstream | undefined> {
  judgeDraft(draft, deps.platformClients);
  const row = await deps.records.in(organization).read((tx) => upstreamBy(tx, organization, 'name', draft.name));
  if (row === undefined) return undefined;
  refuseOther(row, draft);
  return keptOf(row).upstream;
}

/** What is linked hangs on the issuer: under another one the same subject is somebody else. */
function refuseOther(row: UpstreamRow, draft: UpstreamDraft): void {
  if (row.kind === draft.kind && row.issuer === issuerOf(draft)) return;
  throw new Fault('upstream_unusable', {
    fields: { '/name': 'there is one of that name with another issuer: choose another name, or remove it first' },
  });
}

const heldSchema = z.object({
  name: z.string(),
  kind: z.enum(upstreamKinds),
  label: z.string().optional(),
  issuer: z.string().optional(),
  clientId: z.string().optional(),
  credential: z.string(),
  scopes: z.array(z.string()),
  domains: z.array(z.string()),
  signUp: z.boolean(),
});

async function hold(deps: UpstreamGround, by: Principal, draft: UpstreamDraft): Promise<string> {
  await judge(deps, by.organization, draft);
  const held = bearerValue().reveal();
  const text = JSON.stringify({ ...draft, credential: credentialText(draft.credential).reveal() });
  const envelope = await deps.vault.enclose(waitingLabel('held_upstream', by.organization, held), new Secret(text));
  await deps.ephemera.put(bearerKey('held_upstream', held), Buffer.from(envelope).toString('base64url'), heldLife);
  return held;
}

async function keep(deps: UpstreamGround, by: Principal, held: string): Promise<(tx: Writing) => Promise<UpstreamId>> {
  const kept = await deps.ephemera.get(bearerKey('held_upstream', held));
  if (kept === undefined) throw new Fault('confirmation_ended');
  const label = waitingLabel('held_upstream', by.organization, held);
  const opened = await deps.vault.disclose(label, Buffer.from(kept, 'base64url'));
  const { credential, ...rest } = heldSchema.parse(JSON.parse(opened.reveal()));
  const draft = { label: undefined, issuer: undefined, clientId: undefined, ...rest, credential: credentialOf(new Secret(credential)) };
  return prepare(deps, by, draft as UpstreamDraft);
}

/** Seals the client first; the returned step stores it. */
async function prepare(deps: UpstreamGround, by: Principal, draft: UpstreamDraft): Promise<(tx: Writing) => Promise<UpstreamId>> {
  const { organization } = by;
  const standing = await deps.records.in(organization).read((tx) => upstreamBy(tx, organization, 'name', draft.name));
  if (standing !== undefined) refuseOther(standing, draft);
  const id = standing?.id ?? newId('ups', deps.clock.now());
  const sealed = isPlatforms(draft) || draft.credential.kind === 'none' ? undefined : credentialText(draft.credential);
  const label = credentialLabel({ organization_id: organization, id });
  const envelope = sealed === undefined ? null : await deps.vault.enclose(label, sealed);
  const row = rowOf(draft, { id, organization, envelope, now: deps.clock.now() });
  return async (tx) => {
    if (standing === undefined) await insertUpstream(tx, row).catch(refuseTaken);
    else if (!(await updateUpstream(tx, row, standing.version))) throw new Fault('conflict');
    const fields = { upstream: id, name: row.name, kind: row.kind, issuer: row.issuer, domains: draft.domains, sign_up: draft.signUp };
    await deps.audit.record(tx, { name: standing === undefined ? 'upstream.added' : 'upstream.replaced', principal: by, fields });
    await tx.bump('identity');
    return id;
  };
}

function refuseTaken(cause: unknown): never {
  if (isUniqueViolation(cause)) throw new Fault('conflict', { cause, detail: 'there is an upstream of that name' });
  throw cause;
}

interface RowFacts {
  readonly id: UpstreamId;
  readonly organization: OrganizationId;
  readonly envelope: Uint8Array | null;
  readonly now: number;
}

function rowOf(draft: UpstreamDraft, { id, organization, envelope, now }: RowFacts): NewUpstreamRow {
  const preset = presets[draft.kind];
  return {
    id,
    organization_id: organization,
    created_at: now,
    name: draft.name,
    kind: draft.kind,
    label: draft.label ?? preset.label,
    issuer: issuerOf(draft),
    source: isPlatforms(draft) ? 'platform' : 'own',
    client_id: draft.clientId ?? '',
    client_envelope: envelope,
    scopes_json: JSON.stringify([...new Set([...preset.scopes, ...draft.scopes])]),
    domains_json: JSON.stringify(draft.domains),
    sign_up: draft.signUp ? 1 : 0,
  };
}

export function keptOf(row: UpstreamRow): Kept {
  const upstream: Upstream = Object.freeze({
    id: row.id,
    organization: row.organization_id,
    name: row.name,
    kind: row.kind as UpstreamKind,
    label: row.label,
    issuer: row.issuer,
    source: row.source,
    clientId: row.client_id,
    scopes: JSON.parse(row.scopes_json) as readonly string[],
    domains: JSON.parse(row.domains_json) as readonly string[],
    signUp: row.sign_up === 1,
    createdAt: row.created_at,
    version: row.version,
  });
  return { upstream, envelope: row.client_envelope };
}
