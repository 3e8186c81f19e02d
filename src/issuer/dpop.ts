import { Fault } from '#kernel';
import { type DpopFlaw, type DpopProof, dpopFlaw, dpopLeft, dpopSkew, readDpopProof } from '#oauth';
import { ephemeraKey, sha256 } from '#store';
import type { Issuing, Sender } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { lives } from './lives.ts';

/** What a proof must be for. */
export interface ProofUse {
  readonly target: string;
  readonly accessToken?: string;
}

const told: Readonly<Record<DpopFlaw, string>> = {
  method: 'The htm of the DPoP proof is not the method of this request',
  target: 'The htu of the DPoP proof is not the URL of this endpoint',
  time: 'The DPoP proof is too old, or from a time to come',
  token: 'The ath of the DPoP proof is not the hash of this access token',
};

/**
 * The proof that came with a request, if one did; good, but not spent (RFC 9449 §4.3).
 * @throws {Fault} `dpop_proof_invalid`, `dpop_nonce_needed`
 */
export async function checkedProof(
  deps: IssuerDeps,
  at: Issuing,
  sender: Sender | undefined,
  { target, accessToken }: ProofUse,
): Promise<DpopProof | undefined> {
  const [header, ...more] = sender?.proofs ?? [];
  if (sender === undefined || header === undefined) return undefined;
  if (more.length > 0) throw new Fault('dpop_proof_invalid', { detail: 'There is more than one DPoP header' });
  const now = deps.clock.now();
  const proof = await readDpopProof(header, now);
  if (proof === undefined) throw new Fault('dpop_proof_invalid', { detail: 'The DPoP header is not a proof signed by the key in it' });
  const flaw = dpopFlaw(proof, { method: sender.method, targets: [target], accessToken, now });
  if (flaw !== undefined) throw new Fault('dpop_proof_invalid', { detail: told[flaw] });
  if (deps.dpopNonce === true && !nonceHolds(deps, at, proof.nonce)) throw new Fault('dpop_nonce_needed');
  return proof;
}

/**
 * Uses a proof up: of all who show its `jti` at its URL, on any server, one comes through (RFC 9449 §11.1).
 * @throws {Fault} `dpop_proof_invalid` for all others; `proof_unremembered` where its mark may have been lost (SECURITY 14)
 */
export async function spendProof(deps: IssuerDeps, proof: DpopProof): Promise<void> {
  const key = ephemeraKey('dpop_replay', sha256(`${proof.htu} ${proof.jti}`));
  if (!(await deps.ephemera.claim(key, '1', dpopLeft(proof, deps.clock.now()))))
    throw new Fault('dpop_proof_invalid', { detail: 'The DPoP proof was used before' });
  const since = await deps.ephemera.since(key);
  if (since !== 0 && proof.issuedAt < since + dpopSkew * 1000) throw new Fault('proof_unremembered', { retryAfter: dpopSkew });
}

/** The nonce that is handed out now: the same on every server, stored nowhere, and nobody's to foretell (RFC 9449 §8). */
export function dpopNonce(deps: IssuerDeps, at: Issuing): string {
  return nonceOf(deps, at, slotOf(deps));
}

/** The nonces of now and of just before; one of just after, where another server's clock is ahead. */
function nonceHolds(deps: IssuerDeps, at: Issuing, nonce: string | undefined): boolean {
  if (nonce === undefined) return false;
  const slot = slotOf(deps);
  return [slot, slot - 1, slot + 1].some((one) => deps.vault.verifyMac(purpose, slotName(at, one), nonce));
}

const purpose = 'dpop nonce';

function slotOf({ clock }: IssuerDeps): number {
  return Math.floor(clock.now() / lives.dpopNonce);
}

function nonceOf({ vault }: IssuerDeps, at: Issuing, slot: number): string {
  return vault.mac(purpose, slotName(at, slot));
}

function slotName({ organization }: Issuing, slot: number): string {
  return `${organization.id} ${slot}`;
}
