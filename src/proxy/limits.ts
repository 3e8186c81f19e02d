/** What bounds time and memory of the data plane. Times in milliseconds, sizes in bytes. */
export interface Limits {
  /** A request or response head, start line included. */
  readonly headBytes: number;
  readonly headerCount: number;
  /** From the first byte of a head to its last. */
  readonly headTimeout: number;
  /** A client's connection between requests. */
  readonly clientIdle: number;
  /** The client's TLS handshake inside a tunnel. */
  readonly handshakeTimeout: number;
  /** Judging, connecting and handshake upstream, together. */
  readonly connectTimeout: number;
  /** From the request's last byte to the answer's head. */
  readonly firstByteTimeout: number;
  /** A body, an event stream, a WebSocket or a blind tunnel on which nothing moves. */
  readonly streamIdle: number;
  /** A pooled upstream connection nobody uses. */
  readonly poolIdle: number;
  /** A pooled connection older than this carries only requests that may be repeated. */
  readonly poolFresh: number;
  /** Upstream connections per pool key; further calls wait in line. */
  readonly poolPerOrigin: number;
  readonly poolTotal: number;
  /** Client connections open at once; more are closed on arrival. */
  readonly connections: number;
  /** Bytes read ahead of the exchange under way. */
  readonly readAhead: number;
  /** A request body kept so that the request can be repeated. */
  readonly replayBytes: number;
  /** What is read and thrown away of a body nobody wants, before the connection is closed instead. */
  readonly drainBytes: number;
  readonly drainTimeout: number;
  /** Bad credentials from one address before its refusals are slowed. */
  readonly badTokens: number;
  /** How often deadlines are looked at. */
  readonly tick: number;
}

export const defaultLimits: Limits = Object.freeze({
  headBytes: 32 * 1024,
  headerCount: 128,
  headTimeout: 20_000,
  clientIdle: 300_000,
  handshakeTimeout: 10_000,
  connectTimeout: 15_000,
  firstByteTimeout: 300_000,
  streamIdle: 600_000,
  poolIdle: 30_000,
  poolFresh: 2_000,
  poolPerOrigin: 256,
  poolTotal: 2_048,
  connections: 20_000,
  readAhead: 64 * 1024,
  replayBytes: 64 * 1024,
  drainBytes: 256 * 1024,
  drainTimeout: 1_000,
  badTokens: 8,
  tick: 250,
});
