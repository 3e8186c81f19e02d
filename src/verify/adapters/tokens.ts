import type { Needs, Presented, Verdict, VerifiedToken, Verifier } from '../contract.ts';

/** Tokens by the request that they came with; they go with it. */
const tokens = new WeakMap<object, VerifiedToken>();

/** Judges a request; one that came through a gate before, only by what it needs further, as its proof is spent. */
export async function judge(verifier: Verifier, request: object, needs: Needs, presented: () => Presented): Promise<Verdict> {
  const known = tokens.get(request);
  const verdict = known === undefined ? await verifier.verify(presented(), needs) : verifier.further(known, needs);
  if (verdict.good) tokens.set(request, verdict.token);
  return verdict;
}

/** The verified token of a request (Express, Fastify) or context (Hono) that came through a gate. @throws {TypeError} where there was none */
export function tokenOf(request: object): VerifiedToken {
  const token = tokens.get(request);
  if (token === undefined) throw new TypeError('this request came through no gate: put one before the handler');
  return token;
}
