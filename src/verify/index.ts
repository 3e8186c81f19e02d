/**
 * What a resource server imports, as `gatehouse/verify`: is this access token good, for this resource, from this sender, now.
 *
 * Owns: verifying tokens without a call per request, what a resource answers otherwise, what it says of itself, adapters.
 * Leans on: oauth (JOSE, proofs, names of what ended), net (the issuer is reached like every other server).
 * Lives elsewhere: making tokens, and what has ended (issuer).
 */
export { type ExpressGate, forExpress } from './adapters/express.ts';
export { type FastifyGate, forFastify } from './adapters/fastify.ts';
export { forHono, type HonoGate } from './adapters/hono.ts';
export { forMcp, type McpAuthInfo, type McpGate } from './adapters/mcp.ts';
export { tokenOf } from './adapters/tokens.ts';
export type {
  DpopOptions,
  Needs,
  Presented,
  Refusal,
  ReplayMarks,
  ResourceFacts,
  Verdict,
  VerifiedToken,
  Verifier,
  VerifierOptions,
} from './contract.ts';
export { createVerifier } from './verifier.ts';
