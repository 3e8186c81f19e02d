/**
 * The data plane: accept, TLS, decide, inject, stream, scrub.
 *
 * Owns: HTTP/1.1 framing on both sides of a tunnel, what goes on the wire and what must not come back.
 * Leans on: broker (verdicts), net (dialling).
 * Lives elsewhere: why a call is allowed, where secrets come from.
 */
export type { Proxy } from './contract.ts';
export { defaultLimits, type Limits as ProxyLimits } from './limits.ts';
export { createProxy, type ProxyDeps } from './proxy.ts';
