import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

/** A host's addresses, resolved once, each judged; only these are dialled. */
export interface Judged {
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly { readonly address: string; readonly family: 4 | 6 }[];
}

export interface TlsOptions {
  readonly servername: string;
  /** Extra authorities (PEM) for this host, added to the system's. */
  readonly ca?: readonly string[];
  /** Only for hosts the operator listed. */
  readonly skipVerify?: boolean;
  readonly alpn?: readonly string[];
}

export interface DialOptions {
  /** Milliseconds for connect and handshake together. */
  readonly timeout: number;
  readonly signal?: AbortSignal;
}

export interface GuardedRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Milliseconds for everything, answer included. */
  readonly timeout: number;
  /** Bytes of the answer, decoded; more is refused. */
  readonly limit: number;
  /** Redirects that may be followed; each target is judged anew. Default 0. */
  readonly redirects?: number;
  readonly signal?: AbortSignal;
  /** https only unless the operator opened this host and port. */
  readonly allowHttp?: boolean;
  readonly ca?: readonly string[];
}

export interface GuardedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Every outbound byte. */
export interface Net {
  /**
   * Resolves once and judges every address (v4-in-v6 and NAT64 unwrapped). @throws {Fault} `address_refused`,
   * `upstream_unreachable`
   */
  judge(host: string, port: number, options: DialOptions): Promise<Judged>;
  /** Dials a judged address. @throws {Fault} `upstream_unreachable`, `upstream_timeout` */
  dial(judged: Judged, options: DialOptions): Promise<Duplex>;
  /** Dials and shakes hands, with session reuse. Destroy only what is returned, never a socket below it. @throws {Fault} `upstream_certificate*`, `upstream_unreachable`, `upstream_timeout` */
  dialTls(judged: Judged, tls: TlsOptions, options: DialOptions): Promise<TLSSocket>;
  /** A small, bounded, guarded exchange. @throws {Fault} as `judge` and `dialTls`, `upstream_invalid` */
  fetch(url: string, request: GuardedRequest): Promise<GuardedAnswer>;
  /** Our own listeners: never openable. Told as they open. */
  own(address: string, port: number): void;
  /** A server that we stand on (database, Redis): never openable, by its name and at the addresses that the name has now. */
  ownServer(host: string, port: number): Promise<void>;
  close(): Promise<void>;
}
