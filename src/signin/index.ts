/**
 * How a person proves who they are; browser and command-line sessions; the first administrator.
 *
 * Owns: passwords, sessions, lock-outs, the set-up link, the command-line sign-in, upstream identity providers (`upstreams/`).
 * Leans on: identity (users), audit, vault (HMAC of codes, sealed clients), net, store, oauth (random values).
 * Lives elsewhere: what a signed-in person may do (policy), cookies and pages (http).
 */
export type { CommandLineOffer, EndedSession, Session, SessionView, Signin, Started } from './contract.ts';
export { type PasswordLimits, usualPasswordLimits } from './passwords.ts';
export { signinSealedColumns } from './sealed-columns.ts';
export { endEverySession } from './sessions.sql.ts';
export { freshFor, isFresh } from './sessions.ts';
export { createSignin, type SigninDeps } from './signin.ts';
export type {
  Arrival,
  Arrived,
  PlatformClients,
  SignInMethod,
  Upstream,
  UpstreamCheck,
  UpstreamCredential,
  UpstreamDraft,
  UpstreamEnds,
} from './upstreams/contract.ts';
