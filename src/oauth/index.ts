/**
 * Protocol vocabulary: keys and their names, signatures, the agent proof, DPoP, PKCE, random values. Parses, makes and judges.
 *
 * Owns: the table of algorithms, what a well-formed key, JWS or proof is, and how a proof is made and judged.
 * Leans on: node:crypto. No I/O, no clock of its own.
 * Lives elsewhere: whose key it is and whether a value was seen before (identity), sessions (signin), upstream flows (connect).
 */
export {
  agentProofLife,
  agentProofRemembered,
  agentProofScheme,
  agentProofSkew,
  agentProofType,
  createAgentProof,
  judgeAgentProof,
  type ProofFlaw,
  type ProofJudgement,
  type ProvenRequest,
  provenTarget,
  type ReadAgentProof,
  readAgentProof,
} from './agent-proof.ts';
export { type Algorithm, type AlgorithmName, algorithms, type PublicJwk } from './algorithms.ts';
export { decodeBase64url, encodeBase64url } from './base64url.ts';
export { decodeDidKey, encodeDidKey } from './did-key.ts';
export {
  type DpopFlaw,
  type DpopProof,
  type DpopRequest,
  dpopAlgorithms,
  dpopFlaw,
  dpopLeft,
  dpopSkew,
  readDpopProof,
} from './dpop.ts';
export { type Descent, endingName, parent, parentsOf } from './endings.ts';
export { parsePublicJwk, thumbprint, type VerificationKey, verificationKeyOf } from './jwk.ts';
export { jwsHolds, type ParsedJws, parseJws, signJws } from './jws.ts';
export { createPkce, type Pkce, pkceChallenge, pkceHolds } from './pkce.ts';
export { bearerValue, deviceUserCode, parseDeviceUserCode, parseUserCode, userCode } from './random.ts';
export { openToken, type SealingKey, sealingKeyOf, sealToken } from './sealed-token.ts';
export {
  generateTokenKey,
  publicTokenJwk,
  signToken,
  type TokenAlgorithmName,
  type TokenKey,
  tokenAlgorithmNames,
  tokenHolds,
} from './token-signature.ts';
