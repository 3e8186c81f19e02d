import { Fault } from '#kernel';
import { certificateThumbprint } from '../certificates.ts';
import type { Confirmation } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { spendProof } from '../dpop.ts';
import type { Authenticated, Bound, Proven } from '../stages.ts';

/**
 * The key that what is made now is bound to; its proof is spent before anything is made. A client that is registered for bound
 * tokens gets no other (RFC 9449 §5, §5.2, RFC 8705 §3).
 * @throws {Fault} `dpop_proof_invalid`, `client_unauthenticated`
 */
export async function bindSender(deps: IssuerDeps, asked: Authenticated & Proven): Promise<Bound> {
  const { proof, ...rest } = asked;
  if (proof === undefined && asked.client.dpopBound)
    throw new Fault('dpop_proof_invalid', { detail: 'The tokens of this client are bound by DPoP, and there is no DPoP header' });
  const x5t = asked.client.certificateBound ? certificateThumbprint(asked.sender ?? {}) : undefined;
  if (x5t === undefined && asked.client.certificateBound)
    throw new Fault('client_unauthenticated', { detail: 'The tokens of this client are bound to its certificate, and there is none' });
  const confirmation: Confirmation = {
    ...(proof === undefined ? {} : { jkt: proof.jkt }),
    ...(x5t === undefined ? {} : { 'x5t#S256': x5t }),
  };
  if (proof !== undefined) await spendProof(deps, proof);
  return { ...rest, confirmation: Object.keys(confirmation).length === 0 ? undefined : confirmation };
}
