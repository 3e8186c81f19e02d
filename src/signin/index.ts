/**
 * how a person proves who they are; browser and command-line sessions; the first administrator.
 *
 * Owns: that.
 * Leans on: identity, audit, vault, jobs, store, oauth, net, api.
 * Lives elsewhere: what a signed-in person may do.
 */
export type { CommandLineOffer, Session, SessionView, Signin, Started } from './contract.ts';
