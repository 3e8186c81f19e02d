import { Fault } from '#kernel';
import type { Confirmation } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { spendProof } from '../dpop.ts';
import type { Authenticated, Bound, Proven } from '../stages.ts';

/**
 * The key that what is made now is bound to; its proof is spent before anything is made. A client that is registered for bound
 * tokens gets no other (RFC 9449 §5, §5.2). @throws {Fault} `dpop_proof_invalid`
 */
export async function bindSender(deps: IssuerDeps, asked: Authenticated & Proven): Promise<Bound> {
  const { proof, ...rest } = asked;
  if (proof === undefined && asked.client.dpopBound)
    throw new Fault('dpop_proof_invalid', { detail: 'The tokens of this client are bound by DPoP, and there is no DPoP header' });
  if (proof !== undefined) await spendProof(deps, proof);
  const confirmation: Confirmation | undefined = proof === undefined ? undefined : { jkt: proof.jkt };
  return { ...rest, confirmation };
}
