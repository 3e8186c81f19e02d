import type { Audit } from '#audit';
import type { Identity } from '#identity';
import type { Clock, Log } from '#kernel';
import type { Net } from '#net';
import type { Changes, Ephemera, Records } from '#store';
import type { Vault } from '#vault';
import { approveCommandLine, collectCommandLine, offerCommandLine, viewCommandLine } from './command-line.ts';
import type { Signin, WhenEnded } from './contract.ts';
import { join } from './join.ts';
import { createLocalSession } from './local-session.ts';
import { createLockout } from './lockout.ts';
import { changePassword, reauthenticate, signIn } from './password-sign-in.ts';
import { createPasswords, type PasswordLimits } from './passwords.ts';
import { createSessions, type SessionLives, usualSessionLives } from './sessions.ts';
import { createSetup } from './setup.ts';
import type { PlatformClients } from './upstreams/contract.ts';
import { createUpstreams } from './upstreams/upstreams.ts';

export interface SigninDeps {
  readonly records: Records;
  readonly ephemera: Ephemera;
  readonly changes: Changes;
  readonly identity: Identity;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  readonly net: Net;
  /** Where browsers reach us, without a slash at the end. */
  readonly publicUrl: string;
  /** The platform's own clients at upstreams. */
  readonly platformClients?: PlatformClients;
  /** The only address that may spend the set-up link. */
  readonly ownerEmail?: string | undefined;
  readonly passwordLimits?: PasswordLimits;
  readonly sessionLives?: SessionLives;
}

/** How a person proves who they are; sessions; the first administrator. */
export function createSignin(given: SigninDeps): Signin {
  const { records, ephemera, clock } = given;
  const passwords = createPasswords(given.passwordLimits);
  const lockout = createLockout(records, ephemera, clock);
  const endings = { heard: [] as WhenEnded[] };
  const sessionLives = given.sessionLives ?? usualSessionLives;
  const deps = { ...given, sessionLives, passwords, lockout, ownerEmail: given.ownerEmail, endings };
  const setup = createSetup(deps);
  const sessions = createSessions(deps);
  const upstreams = createUpstreams({ ...deps, platformClients: given.platformClients ?? {} });
  const local = createLocalSession(given.identity, given.changes, clock);

  return Object.freeze({
    upstreams,
    setupLink: () => setup.link(),
    firstSetupLink: () => setup.firstLink(),
    withdrawSetupLink: (token) => setup.withdraw(token),
    setupState: () => setup.state(),
    setupLinkLives: (token) => setup.lives(token),
    completeSetup: (token, person, address) => setup.complete(token, person, address),
    signIn: (organization, email, password, address, previous, label = '') =>
      signIn(deps, { organization, email, password, address, label }, previous),
    join: (organization, joining) => join(deps, organization, joining),
    reauthenticate: (session, password, address) => reauthenticate(deps, session, password, address),
    changePassword: (session, change) => changePassword(deps, session, change),
    session: (organization, bearer, kind) => sessions.session(organization, bearer, kind),
    sessions: (user) => sessions.list(user),
    everySession: (organization, query) => sessions.every(organization, query),
    end: (organization, id, reason, by) => sessions.end(organization, id, reason, by),
    endAll: (user, reason, except) => sessions.endAll(user, reason, except),
    stands: (tx, organization, sid) => sessions.stands(tx, organization, sid),
    whenEnded: (hear) => void endings.heard.push(hear),
    localSession: (organization) => local.session(organization),
    offerCommandLine: (organization, label, address) => offerCommandLine(deps, organization, label, address),
    viewCommandLine: (user, code) => viewCommandLine(deps, user, code),
    approveCommandLine: (session, code) => approveCommandLine(deps, session, code),
    collectCommandLine: (deviceCode) => collectCommandLine(deps, deviceCode),
    hashPassword: (password) => passwords.hash(password),
    sweep: async () => (await sessions.sweep()) + (await lockout.sweep()),
    async close() {
      sessions.close();
      upstreams.close();
      local.close();
    },
  } satisfies Signin);
}
