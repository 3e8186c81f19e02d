import type { UpstreamKind } from '#api';
import type { User } from '#identity';
import type { Fault, OrganizationId, Principal, Secret, SignInMethodId, UpstreamId } from '#kernel';
import type { Writing } from '#store';
import type { Session, Started } from '../contract.ts';

/** An identity provider that people of an organization sign in through. */
export interface Upstream {
  readonly id: UpstreamId;
  readonly organization: OrganizationId;
  readonly name: string;
  readonly kind: UpstreamKind;
  readonly label: string;
  readonly issuer: string;
  readonly source: 'own' | 'platform';
  readonly clientId: string;
  readonly scopes: readonly string[];
  /** Mail domains whose addresses it is believed about, where it says that they are verified; `*`: of everybody who is new. */
  readonly domains: readonly string[];
  /** Whether a first sign-in with such an address makes a user. */
  readonly signUp: boolean;
  readonly createdAt: number;
  readonly version: number;
}

/** What proves our client there: a secret, or at Apple a key that signs one. */
export type UpstreamCredential =
  | { readonly kind: 'none' }
  | { readonly kind: 'secret'; readonly secret: Secret<string> }
  | { readonly kind: 'apple_key'; readonly team: string; readonly key: string; readonly pem: Secret<string> };

/** An upstream as somebody asks for it. */
export interface UpstreamDraft {
  readonly name: string;
  readonly kind: UpstreamKind;
  readonly label: string | undefined;
  /** Absent where the kind has one. */
  readonly issuer: string | undefined;
  /** Absent: the platform's client, which settings name. */
  readonly clientId: string | undefined;
  readonly credential: UpstreamCredential;
  /** Beside those that the kind always asks for. */
  readonly scopes: readonly string[];
  readonly domains: readonly string[];
  readonly signUp: boolean;
}

/** A button of the sign-in page. */
export interface OfferedUpstream {
  readonly name: string;
  readonly label: string;
  /** False: it could not be reached just now, so that nobody is sent there. */
  readonly works: boolean;
}

/** One look at whether an upstream can be used. */
export interface UpstreamCheck {
  readonly what: 'metadata' | 'keys' | 'client';
  readonly holds: boolean;
  readonly tells: string;
}

/** What would end with an upstream. */
export interface UpstreamEnds {
  readonly upstream: Upstream;
  /** Accounts there that people here sign in with. */
  readonly linked: number;
}

/** Where a browser goes, and what it comes back for. */
export interface Departure {
  readonly organization: OrganizationId;
  readonly upstream: string;
  /** What ties the answer to this browser. */
  readonly binding: string;
  /** A path of ours to go on to. */
  readonly next: string;
  /** The person must be asked for their password there, whatever session they have. */
  readonly again: boolean;
  /** To link the account to whoever is signed in, instead of signing in. */
  readonly link: Session | undefined;
  readonly address: string;
}

/** What a browser brought back. */
export interface Arrival {
  readonly organization: OrganizationId;
  /** By the callback it came to: an upstream's name, or the platform's client for a kind. */
  readonly at: { readonly upstream: string } | { readonly platform: string };
  readonly parameters: URLSearchParams;
  readonly binding: string | undefined;
  readonly session: Session | undefined;
  readonly address: string;
  /** What the person recognises their browser by. */
  readonly label: string;
}

export type Arrived =
  | { readonly kind: 'signed_in'; readonly started: Started; readonly next: string }
  | { readonly kind: 'linked'; readonly label: string; readonly next: string }
  /** The state was good, and what came of it is told on the page that it began on. */
  | { readonly kind: 'refused'; readonly fault: Fault; readonly linking: boolean; readonly next: string };

/** A way in which a person can sign in, beside the password. */
export interface SignInMethod {
  readonly id: SignInMethodId;
  readonly kind: 'upstream';
  /** The upstream's name, and what its button says. */
  readonly upstream: string;
  readonly upstreamLabel: string;
  readonly label: string;
  readonly createdAt: number;
  readonly usedAt: number;
}

/** Signing in through identity providers of others. */
export interface Upstreams {
  /** @throws {Fault} `upstream_unusable` with a sentence per field */
  judge(organization: OrganizationId, draft: UpstreamDraft): Promise<Upstream | undefined>;
  /** Keeps a draft sealed, under the name that is returned, until a person has said yes to it. @throws {Fault} `upstream_unusable` */
  hold(by: Principal, draft: UpstreamDraft): Promise<string>;
  /** Opens a draft that was held; the returned step stores it, in place of an earlier one of that name. @throws {Fault} `confirmation_ended` */
  keep(by: Principal, held: string): Promise<(tx: Writing) => Promise<UpstreamId>>;
  /** By name or id. */
  find(organization: OrganizationId, name: string): Promise<Upstream | undefined>;
  list(
    organization: OrganizationId,
    query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly Upstream[]; readonly next?: string }>;
  /** The redirect URI to register there. */
  callback(upstream: Pick<Upstream, 'organization' | 'name' | 'kind' | 'source'>): Promise<string>;
  ends(organization: OrganizationId, name: string): Promise<UpstreamEnds>;
  /** At once, with every account that is linked through it and the sessions of these people that no password stands for. @throws {Fault} `upstream_unknown` */
  remove(by: Principal, name: string): Promise<UpstreamEnds>;
  /** Asks it anew. @throws {Fault} `upstream_unknown` */
  test(organization: OrganizationId, name: string): Promise<readonly UpstreamCheck[]>;
  /** What the sign-in page shows; waits for nobody, but a quarter of a second for those of whom nothing is known yet. */
  offered(organization: OrganizationId): Promise<readonly OfferedUpstream[]>;
  /** The address there to send the browser to. @throws {Fault} `upstream_unknown`, `upstream_unreachable`, `rate_limited` */
  begin(departure: Departure): Promise<{ readonly to: string; readonly label: string }>;
  /** The name in addresses of the organization that a state belongs to; undefined: of nobody, or the default one. Spends nothing. */
  whose(state: string): Promise<string | undefined>;
  /** Spends the state and judges the answer. @throws {Fault} `link_ended` for a state that is spent, or another browser's */
  complete(arrival: Arrival): Promise<Arrived>;
  methods(user: User): Promise<readonly SignInMethod[]>;
  /** Ends a way in. @throws {Fault} `not_found`, `conflict` where it is the last */
  unlink(session: Session, id: string): Promise<void>;
}

/** Clients of the platform, which settings name, by kind. */
export type PlatformClients = Readonly<Partial<Record<UpstreamKind, { readonly id: string; readonly secret: Secret<string> }>>>;
