import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import { spendProof } from '../dpop.ts';
import { readParameters } from '../parameters.ts';
import type { Proven, Requested } from '../stages.ts';

const named: ReadonlySet<string> = new Set(['dpop_jkt']);

/** A pushed request that came with a proof is bound to its key, as one that names it by `dpop_jkt` (RFC 9449 §10.1). @throws {Fault} `dpop_proof_invalid` */
export async function bindRequest<S extends Requested & Proven>(deps: IssuerDeps, asked: S): Promise<S> {
  const { proof, parameters } = asked;
  if (proof === undefined) return asked;
  if ((parameters.one('dpop_jkt') ?? proof.jkt) !== proof.jkt)
    throw new Fault('dpop_proof_invalid', { detail: 'dpop_jkt names another key than that of the DPoP proof' });
  await spendProof(deps, proof);
  return { ...asked, parameters: readParameters(`${parameters.without(named)}&dpop_jkt=${proof.jkt}`) };
}
