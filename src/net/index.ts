/**
 * every outbound byte: the address guard, guarded fetch, dialling and TLS.
 *
 * Owns: that.
 * Leans on: nothing but the kernel.
 * Lives elsewhere: HTTP framing of the data plane (proxy).
 */
export type { DialOptions, GuardedAnswer, GuardedRequest, Judged, Net, TlsOptions } from './contract.ts';
