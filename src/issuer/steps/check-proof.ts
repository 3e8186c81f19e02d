import type { IssuerDeps } from '../deps.ts';
import { checkedProof } from '../dpop.ts';
import { type endpointPaths, endpointUrl } from '../endpoints.ts';
import type { Parsed, Proven, Step } from '../stages.ts';

/** A DPoP proof is for this endpoint and this method, before anything else is spent (RFC 9449 §4.3, §5). */
export function checkProof<S extends Parsed>(endpoint: keyof typeof endpointPaths): Step<S, S & Proven> {
  return async (deps: IssuerDeps, asked: S) => {
    const proof = await checkedProof(deps, asked.at, asked.sender, { target: endpointUrl(asked.at, endpoint) });
    return { ...asked, proof };
  };
}
