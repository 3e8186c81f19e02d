import { timingSafeEqual } from 'node:crypto';
import { emailKeyOf, parseEmail } from '#identity';
import { Fault, type Secret } from '#kernel';
import { bearerValue } from '#oauth';
import { type Ephemera, ephemeraKey, isUniqueViolation, sha256 } from '#store';
import type { Started } from './contract.ts';
import { hasFact, insertFact } from './facts.sql.ts';
import { checkNewPassword } from './password-rules.ts';
import type { Passwords } from './passwords.ts';
import { type SessionDeps, startSession } from './sessions.ts';

export interface SetupDeps extends SessionDeps {
  readonly ephemera: Ephemera;
  readonly passwords: Passwords;
  /** The only address that may spend the link, if the operator named one. */
  readonly ownerEmail: string | undefined;
}

export interface FirstPerson {
  readonly email: string;
  readonly name: string;
  readonly password: Secret<string>;
}

const hour = 3_600_000;
/** A row, not the absence of administrators: once written it is never taken back. */
const closed = 'setup.closed';
const platform = 'whether this installation is set up';
const linkKey = ephemeraKey('setup_link', 'current');

/** The first-administrator link: one at a time, hashed, an hour long. */
export function createSetup(deps: SetupDeps) {
  const { records, ephemera, clock } = deps;
  let knownClosed = false;

  async function isClosed(): Promise<boolean> {
    knownClosed ||= await records.platform(platform).read((tx) => hasFact(tx, closed));
    return knownClosed;
  }

  /** The stored link if this token is its; what `drop` then spends. */
  async function stored(token: string): Promise<string | undefined> {
    const hash = await ephemera.get(linkKey);
    return hash !== undefined && timingSafeEqual(Buffer.from(hash), Buffer.from(sha256(token))) ? hash : undefined;
  }

  async function spend(token: string): Promise<void> {
    const hash = await stored(token);
    if (hash === undefined || !(await ephemera.drop(linkKey, hash))) throw new Fault('link_ended');
  }

  /** The closing row, the person and their session stand or fall together: of two at once, one. */
  async function makeFirst(token: string, person: FirstPerson, passwordHash: string, address: string): Promise<Started> {
    const organization = await deps.identity.defaultOrganization();
    return records.in(organization.id).write(async (tx) => {
      await insertFact(tx, closed, String(clock.now()));
      const { email, name } = person;
      const user = await deps.identity.createUser(tx, { organization: organization.id, email, name, role: 'owner', passwordHash });
      const started = await startSession(deps, tx, {
        user,
        kind: 'browser',
        method: 'setup',
        address,
        label: '',
        authenticatedAt: clock.now(),
        madeFrom: token,
      });
      await deps.audit.record(tx, { name: 'setup.completed', principal: started.session.principal, fields: { user: user.id } });
      return started;
    });
  }

  return Object.freeze({
    async link(): Promise<{ readonly token: Secret<string>; readonly expiresAt: number }> {
      if (await isClosed()) throw new Fault('setup_closed');
      const token = bearerValue();
      await ephemera.put(linkKey, sha256(token.reveal()), hour);
      return { token, expiresAt: clock.now() + hour };
    },

    /** Undefined while there is one: of many servers that start at once, one has it. */
    async firstLink(): Promise<Secret<string> | undefined> {
      if (await isClosed()) return undefined;
      const token = bearerValue();
      return (await ephemera.claim(linkKey, sha256(token.reveal()), hour)) ? token : undefined;
    },

    /** Ends this link, if it is still the one. */
    withdraw: async (token: Secret<string>): Promise<void> => void (await ephemera.drop(linkKey, sha256(token.reveal()))),

    state: async (): Promise<'open' | 'closed'> => ((await isClosed()) ? 'closed' : 'open'),
    lives: async (token: string): Promise<boolean> => !(await isClosed()) && (await stored(token)) !== undefined,

    /** Everything that can be wrong with what was typed is found before the link is spent. */
    async complete(token: string, person: FirstPerson, address: string): Promise<Started> {
      if (await isClosed()) throw new Fault('setup_closed');
      if ((await stored(token)) === undefined) throw new Fault('link_ended');
      checkPerson(person, deps.ownerEmail);
      const passwordHash = await deps.passwords.hash(person.password);
      await spend(token);
      return makeFirst(token, person, passwordHash, address).catch(refuseSecond);
    },
  });
}

function checkPerson(person: FirstPerson, ownerEmail: string | undefined): void {
  const email = parseEmail(person.email);
  if (ownerEmail !== undefined && emailKeyOf(email) !== emailKeyOf(ownerEmail)) {
    throw new Fault('invalid_request', { fields: { '/email': 'this link is for the address that the operator named' } });
  }
  if (person.name.trim() === '') throw new Fault('invalid_request', { fields: { '/name': 'give a name' } });
  checkNewPassword(person.password, email);
}

function refuseSecond(error: unknown): never {
  if (isUniqueViolation(error)) throw new Fault('setup_closed', { cause: error });
  throw error;
}
