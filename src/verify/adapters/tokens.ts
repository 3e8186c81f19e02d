import type { Needs, Presented, Verdict, VerifiedToken, Verifier } from '../contract.ts';

/** Tokens by the request that they came with; they go with it. */
const tokens = new WeakMap<object, Passed>();

interface Passed {
  readonly verifier: Verifier;
  readonly token: VerifiedToken;
}

/** Judges a request; one that came through a gate of the same resource before, only by what it needs further, as its proof is spent. */
export async function judge(verifier: Verifier, request: object, needs: Needs, presented: () => Presented): Promise<Verdict> {
  const passed = tokens.get(request);
  const verdict = passed?.verifier === verifier ? verifier.further(passed.token, needs) : await verifier.verify(presented(), needs);
  if (verdict.good) tokens.set(request, { verifier, token: verdict.token });
  return verdict;
}

/** The verified token of a request (Express, Fastify) or context (Hono) that came through a gate. @throws {TypeError} where there was none */
export function tokenOf(request: object): VerifiedToken {
  const passed = tokens.get(request);
  if (passed === undefined) throw new TypeError('this request came through no gate: put one before the handler');
  return passed.token;
}
