import type { ClientAuthenticationName, GrantTypeName } from '#api';
import type { User } from '#identity';
import type { Secret } from '#kernel';
import type { DpopProof } from '#oauth';
import type { AskedContext } from './authentication-contexts.ts';
import type { AuthorizationDetail, Client, Confirmation, Grant, Issuing, Sender } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import type { Parameters } from './parameters.ts';
import type { VerifiedRedirect } from './redirects.ts';

/** A request that was read: nothing of it is believed. */
export interface Parsed {
  readonly at: Issuing;
  readonly parameters: Parameters;
  readonly authorization: string | undefined;
  readonly sender?: Sender | undefined;
}

/** Whose request it is. */
export interface Named extends Parsed {
  readonly client: Client;
}

/** How a request came to us. */
export interface Delivery {
  /** The hash of the reference under which its client pushed it (RFC 9126); undefined when it came through the browser. */
  readonly pushed: string | undefined;
  /** Its client signed it (RFC 9101). */
  readonly signed: boolean;
}

/** What the client asks for, wherever it lay: `parameters` are that and nothing else. */
export interface Requested extends Named {
  readonly delivery: Delivery;
}

/** A request that its client pushes, and the reference that it gets. */
export interface Pushing extends Authenticated {
  readonly delivery: Delivery & { readonly pushed: string };
  readonly handle: Secret<string>;
}

/** Where the browser may be sent is verified. */
export interface Addressed extends Requested {
  readonly redirect: VerifiedRedirect;
}

/** The code that will be given can be redeemed only by who made this challenge. */
export interface Challenged extends Addressed {
  readonly challenge: string;
  /** The key that alone may redeem it (RFC 9449 §10). */
  readonly jkt: string | undefined;
}

/** The proof that came along is good for this very request; it is not spent yet. */
export interface Proven extends Parsed {
  readonly proof: DpopProof | undefined;
}

/** The client proved who it is. */
export interface Authenticated extends Parsed {
  readonly client: Client;
  readonly method: ClientAuthenticationName;
}

/** What is made now is bound to this key; the proof of it is spent. */
export interface Bound extends Authenticated {
  readonly confirmation: Confirmation | undefined;
}

/** The grant type is offered, and this client may use it. */
export interface Allowed extends Bound {
  readonly grantType: GrantTypeName;
}

/** What is asked for is no more than the client may have. */
export interface Reach {
  readonly scopes: readonly string[];
  readonly resources: readonly string[];
}
export type Scoped<S> = S & Reach;

/** Who asks for something: enough to judge how far it may reach. */
export type Asking = Pick<Addressed, 'at' | 'client' | 'parameters'>;

/** How a person is to be asked. */
export interface Prompted extends Scoped<Challenged> {
  readonly prompt: ReadonlySet<Prompt>;
  /** Milliseconds. */
  readonly maxAge: number | undefined;
  readonly nonce: string | undefined;
}
/** Who the person is to be, and how they are to have proved it. */
export interface Expecting extends Prompted {
  /** The one whom the client means. */
  readonly subject: string | undefined;
  readonly context: AskedContext | undefined;
  /** Told in the ID token too, where their scope is granted. */
  readonly idTokenClaims: readonly string[];
}
/** What is asked for beside scopes. */
export interface Detailed extends Expecting {
  readonly details: readonly AuthorizationDetail[];
}
export const prompts = ['none', 'login', 'consent', 'select_account', 'create'] as const;
export type Prompt = (typeof prompts)[number];

/** Tokens may be made: for whom, and how far. */
export interface Authorized extends Reach {
  readonly details?: readonly AuthorizationDetail[] | undefined;
  readonly at: Issuing;
  readonly client: Client;
  readonly confirmation: Confirmation | undefined;
  /** A client's own token names it, whoever may use it. */
  readonly subject:
    | { readonly kind: 'client'; readonly id?: string }
    | { readonly kind: 'user'; readonly user: User; readonly grant: Grant };
  /** What a token is made from that ends with it (SECURITY 16): tokens by `jti`, and the clients those are of. */
  readonly under?: { readonly expiresAt: number; readonly tokens: readonly string[]; readonly clients: readonly string[] } | undefined;
}

/** One check: it gives what the next one needs, or throws. */
export type Step<I, O> = (deps: IssuerDeps, input: I) => O | Promise<O>;

/** Steps in their order; the only order that compiles. */
export interface Pipeline<I, O> {
  step<P>(next: Step<O, P>): Pipeline<I, P>;
  run(deps: IssuerDeps, input: I): Promise<O>;
}

export function pipeline<I, O>(first: Step<I, O>): Pipeline<I, O> {
  return Object.freeze({
    step: <P>(next: Step<O, P>) => pipeline<I, P>(async (deps, input) => next(deps, await first(deps, input))),
    run: async (deps: IssuerDeps, input: I) => first(deps, input),
  });
}
