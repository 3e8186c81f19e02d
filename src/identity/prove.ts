import { type Clock, Fault, type OrganizationId } from '#kernel';
import { agentProofRemembered, agentProofSkew, judgeAgentProof, type ProofFlaw, readAgentProof, type VerificationKey } from '#oauth';
import { type Ephemera, ephemeraKey } from '#store';
import type { Agent, AgentProof, AgentStatus } from './contract.ts';
import type { Directory } from './directory.ts';

export interface ProveDeps {
  readonly directory: Directory;
  readonly ephemera: Ephemera;
  readonly clock: Clock;
}

const flaws: Readonly<Record<ProofFlaw, string>> = {
  signature: 'the signature is not from this agent',
  claims: 'a claim is missing or malformed',
  issuer: 'the issuer is another agent',
  audience: 'the audience is not the issuer of this organization',
  time: 'it is too old, too long-lived or from the future; compare the clocks',
  method: 'it is for another method',
  target: 'it is for another URL',
  body: 'it is for another body',
};

/** A proof that holds for its request, not yet spent. */
export interface HeldProof {
  readonly jti: string;
  readonly issuedAt: number;
}

/** The agent behind a proof. What the proof proves comes first, so that nobody else learns how an agent stands. */
export async function prove(deps: ProveDeps, given: AgentProof, allow: readonly AgentStatus[]): Promise<Agent> {
  const did = readAgentProof(given.proof)?.did;
  if (did === undefined) throw new Fault('invalid_proof', { detail: 'it is not a well-formed agent proof' });
  const known = await deps.directory.agentByDid(given.organization, did);
  if (known === undefined) throw new Fault('agent_unknown');
  const held = await judge(deps, given, { did: known.agent.did, key: known.key });
  if (!allow.includes(known.agent.status)) throw new Fault('agent_not_active');
  await spend(deps, given.organization, known.agent.did, held);
  return known.agent;
}

/** @throws {Fault} `invalid_proof`, with what is wrong */
export async function judge(deps: ProveDeps, given: AgentProof, agent: { did: string; key: VerificationKey }): Promise<HeldProof> {
  const read = readAgentProof(given.proof);
  if (read === undefined) throw new Fault('invalid_proof', { detail: 'it is not a well-formed agent proof' });
  const { issuer } = await deps.directory.organization(given.organization);
  const judgement = judgeAgentProof(read, agent, {
    audience: issuer,
    method: given.method,
    url: given.target,
    body: given.body,
    now: deps.clock.now(),
  });
  if (judgement.kind === 'bad') throw new Fault('invalid_proof', { detail: flaws[judgement.reason] });
  return judgement;
}

/**
 * Spends the proof: exactly one request gets past. The claim comes first, so that a loss of marks before it is seen after
 * it (SECURITY 14). @throws {Fault} `proof_replayed`, `proof_unremembered`
 */
export async function spend(deps: ProveDeps, organization: OrganizationId, did: string, held: HeldProof): Promise<void> {
  const key = ephemeraKey('proof_replay', organization, did, held.jti);
  if (!(await deps.ephemera.claim(key, '1', agentProofRemembered))) throw new Fault('proof_replayed');
  const since = await deps.ephemera.since(key);
  // A proof may be dated as far ahead as clocks may differ, and could have been used before that time.
  const good = since === 0 ? 0 : since + agentProofSkew * 1000;
  if (held.issuedAt < good) throw new Fault('proof_unremembered', { retryAfter: Math.max(1, Math.ceil((good - deps.clock.now()) / 1000)) });
}
