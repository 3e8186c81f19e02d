import type { VerifiedToken } from '../contract.ts';

/** Tokens by the request that they came with; they go with it. */
const tokens = new WeakMap<object, VerifiedToken>();

export function keepToken(request: object, token: VerifiedToken): void {
  tokens.set(request, token);
}

/** The verified token of a request (Express, Fastify) or context (Hono) that came through a gate. @throws {TypeError} where there was none */
export function tokenOf(request: object): VerifiedToken {
  const token = tokens.get(request);
  if (token === undefined) throw new TypeError('this request came through no gate: put one before the handler');
  return token;
}
