/**
 * Every outbound byte: the address guard, guarded fetch, dialling and TLS.
 *
 * Owns: which addresses may be reached (special-use ranges, what the operator opened, our own listeners), one
 * resolution per call, who may vouch for an upstream, session reuse, and the bounds of a small exchange.
 * Leans on: nothing but the kernel.
 * Lives elsewhere: HTTP framing and pools of the data plane (proxy).
 */
export { countedAs } from './addresses.ts';
export type { DialOptions, GuardedAnswer, GuardedRequest, Judged, Net, TlsOptions } from './contract.ts';
export type { Opening } from './guard.ts';
export { type Host, parseHost } from './hosts.ts';
export { type MuxClient, type MuxOptions, muxClient, muxServer } from './mux.ts';
export { createNet, type NetDeps } from './net.ts';
export type { Resolver } from './resolve.ts';
export { webFetch } from './web-fetch.ts';
