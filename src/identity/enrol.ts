import { nameSchema } from '#api';
import type { Audit } from '#audit';
import { type AgentId, type Clock, Fault, newId, type OrganizationId } from '#kernel';
import { encodeDidKey, parsePublicJwk, readAgentProof, type VerificationKey } from '#oauth';
import { ephemeraKey, isUniqueViolation, type Records, type Writing } from '#store';
import { agentOf } from './agent-view.ts';
import { type AgentRow, countUnclaimed, deleteAgent, expiredAgents, insertAgent } from './agents.sql.ts';
import type { Agent, Enrolment } from './contract.ts';
import { judge, type ProveDeps, spend } from './prove.ts';

export interface EnrolDeps extends ProveDeps {
  readonly records: Records;
  readonly audit: Audit;
  readonly clock: Clock;
}

const hour = 3_600_000;
/** Unclaimed agents of one organization at a time. */
const quota = 50;
/** Tries to register from one address, an hour. */
const tries = 120;
const batch = 100;

/** Registers an agent that proved its key over the registering request. */
export async function enrol(deps: EnrolDeps, wanted: Enrolment): Promise<Agent> {
  const { handle, key } = parse(wanted);
  await limit(deps, wanted.organization, wanted.address);
  const did = encodeDidKey(key.jwk);
  const proof = { ...wanted.proof, organization: wanted.organization };
  if (readAgentProof(proof.proof)?.did !== did) throw new Fault('invalid_proof', { detail: 'it is not from the key that is registered' });
  await spend(deps, wanted.organization, did, await judge(deps, proof, { did, key }));
  const row = newRow(deps.clock.now(), wanted, { handle, did, key });
  await deps.records
    .in(wanted.organization)
    .write((tx) => register(deps, tx, row))
    .catch((error: unknown) => refuseTaken(error));
  return agentOf(row);
}

function parse(wanted: Enrolment): { readonly handle: string; readonly key: VerificationKey } {
  const handle = nameSchema.safeParse(wanted.handle);
  if (!handle.success) throw new Fault('invalid_request', { fields: { '/handle': handle.error.issues[0]?.message ?? 'is not a name' } });
  const key = parsePublicJwk(wanted.publicJwk);
  if (key === undefined)
    throw new Fault('invalid_request', { fields: { '/public_jwk': 'give the public members of an Ed25519 or P-256 key' } });
  return { handle: handle.data, key };
}

async function limit(deps: EnrolDeps, organization: OrganizationId, address: string): Promise<void> {
  const count = await deps.ephemera.bump(ephemeraKey('rate', 'enrol', organization, address), hour);
  if (count > tries) throw new Fault('rate_limited', { retryAfter: hour / 1000 });
}

/** The bump comes first: its row lock makes the count and the insert one step on every database. */
async function register(deps: EnrolDeps, tx: Writing, row: Omit<AgentRow, 'row'>): Promise<void> {
  await tx.bump('identity');
  await endExpired(deps, tx, row.organization_id);
  if ((await countUnclaimed(tx, row.organization_id)) >= quota) throw new Fault('agent_quota');
  await insertAgent(tx, row);
  await deps.audit.record(tx, {
    name: 'agent.registered',
    principal: { organization: row.organization_id, subject: { kind: 'agent', id: row.id }, actors: [] },
    fields: {
      agent: row.id,
      handle: row.handle,
      did: row.did,
      fingerprint: agentOf(row).thumbprint,
      address: row.registered_from,
    },
  });
}

/** Removes unclaimed agents whose hour is over, each once; returns how many. */
export async function endExpired(
  deps: Pick<EnrolDeps, 'audit' | 'clock'>,
  tx: Writing,
  organization: OrganizationId | undefined,
): Promise<number> {
  let ended = 0;
  for (const row of await expiredAgents(tx, organization, deps.clock.now(), batch)) {
    if (!(await deleteAgent(tx, row))) continue;
    ended += 1;
    await deps.audit.record(tx, {
      name: 'agent.expired',
      principal: { organization: row.organization_id, subject: { kind: 'system' }, actors: [] },
      fields: { agent: row.id },
    });
  }
  return ended;
}

interface Proven {
  readonly handle: string;
  readonly did: string;
  readonly key: VerificationKey;
}

function newRow(now: number, wanted: Enrolment, { handle, did, key }: Proven): Omit<AgentRow, 'row'> {
  const id: AgentId = newId('agt', now);
  return {
    id,
    organization_id: wanted.organization,
    handle,
    did,
    public_jwk_json: JSON.stringify(key.jwk),
    algorithm: key.algorithm.name,
    status: 'registered',
    owner_kind: null,
    owner_user_id: null,
    confirmed_at: null,
    registered_from: wanted.address.slice(0, 64),
    expires_at: now + hour,
    epoch: 1,
    created_at: now,
    version: 1,
  };
}

function refuseTaken(error: unknown): never {
  if (isUniqueViolation(error, 'agents.did'))
    throw new Fault('agent_exists', { detail: 'an agent has this key', hint: 'make a new key', cause: error });
  if (isUniqueViolation(error)) throw new Fault('agent_exists', { cause: error });
  throw error;
}
