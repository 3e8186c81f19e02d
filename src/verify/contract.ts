import type { Clock } from '#kernel';

/** A request that came to a protected resource, as far as it matters here. */
export interface Presented {
  readonly method: string;
  /** Path and query, or the whole URL. */
  readonly url: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The certificate that the client proved to hold (DER), where mutual TLS ends here or at a proxy that is trusted to say so. */
  readonly certificate?: Uint8Array | undefined;
}

/** What a request needs beyond a good token. */
export interface Needs {
  /** All of these. */
  readonly scopes?: readonly string[];
  /** One of these ways in which the person proved who they are (RFC 9470 §3). */
  readonly acr?: readonly string[];
  /** How long ago the person may have signed in, seconds (RFC 9470 §3). */
  readonly maxAgeSeconds?: number;
}

/** An access token that is good now. */
export interface VerifiedToken {
  /** The person, or the client itself. */
  readonly subject: string;
  readonly clientId: string;
  readonly scopes: readonly string[];
  readonly audiences: readonly string[];
  /** Milliseconds. */
  readonly expiresAt: number;
  /** When the person signed in, milliseconds. */
  readonly authenticatedAt: number | undefined;
  readonly acr: string | undefined;
  /** Everything that the token, or introspection, says. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** An answer that refuses a request: send it as it is. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly error: string; readonly error_description: string };
}

export type Verdict =
  | { readonly good: true; readonly token: VerifiedToken; readonly headers: Readonly<Record<string, string>> }
  | { readonly good: false; readonly refusal: Refusal };

/** Marks of proofs that were used. Processes that serve one resource share them through a store of their own. */
export interface ReplayMarks {
  /** True for the one caller that marks it first, within its life (milliseconds). */
  claim(key: string, life: number): boolean | Promise<boolean>;
}

export interface VerifierOptions {
  /** The issuer, exactly as tokens and its metadata name it. */
  readonly issuer: string;
  /** Where the issuer is reached from here, when not at its own name: everything is fetched below this address. */
  readonly url?: string;
  /** What this resource is called in `aud`: its exact identifier (RFC 8707 §2). */
  readonly resource: string;
  /** Takes plain http to another machine. Whoever is on the way can then forge every token. */
  readonly allowInsecureHttp?: boolean;
  /** Authorities (PEM) that vouch for the issuer's certificate, beside the system's. */
  readonly ca?: readonly string[];
  /** Scopes that every request needs, unless it says otherwise; also named to who comes without a token. */
  readonly scopes?: readonly string[];
  /** Where the clients' URLs begin; default: the origin of `resource`. */
  readonly origin?: string;
  readonly dpop?: DpopOptions;
  /** Tokens bound to a certificate or a key are taken always; with this, no others (RFC 8705, RFC 9449). */
  readonly requireBinding?: boolean;
  /** Credentials of a client that `--protects` the resource: opaque tokens are then asked about. */
  readonly introspection?: { readonly clientId: string; readonly clientSecret: string };
  /** Shown in the metadata of the resource (RFC 9728 §2). */
  readonly metadata?: ResourceFacts;
  readonly clock?: Clock;
}

export interface DpopOptions {
  /** Proofs must hold a nonce of this resource (RFC 9449 §9). Of every process, where they share the same secret. */
  readonly nonce?: boolean | { readonly secret: string };
  readonly replays?: ReplayMarks;
}

/** What a resource says of itself (RFC 9728 §2). */
export interface ResourceFacts {
  readonly name?: string;
  readonly documentation?: string;
  /** Scopes that it knows; default: those that every request needs. */
  readonly scopes?: readonly string[];
}

/** A protected resource's side of OAuth. */
export interface Verifier {
  readonly issuer: string;
  readonly resource: string;
  /** Judges the token of a request, and what the request needs. Nothing is asked of the issuer for it. */
  verify(presented: Presented, needs?: Needs): Promise<Verdict>;
  /** Judges what a request with a token that was verified already needs further: a proof that came with it is not asked for again. */
  further(token: VerifiedToken, needs: Needs): Verdict;
  /** Judges a bearer token alone: undefined when it is not good. @throws {Fault} `stale_revocations` */
  token(text: string): Promise<VerifiedToken | undefined>;
  /** RFC 9728 §2: the document at `metadataPath`. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** RFC 9728 §3.1. */
  readonly metadataUrl: string;
  readonly metadataPath: string;
  /** Learns keys and what has ended, ahead of the first request. @throws {Fault} when the issuer cannot be reached */
  ready(): Promise<void>;
  close(): Promise<void>;
}
