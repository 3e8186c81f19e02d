import type { User } from '#identity';
import { Fault, type OrganizationId, type UserId } from '#kernel';
import { countedAs } from '#net';
import { bearerValue, parseUserCode, userCode } from '#oauth';
import { bearerKey, type Ephemera, ephemeraKey, isUniqueViolation, sha256 } from '#store';
import type { Vault } from '#vault';
import type { CommandLineOffer, Session, Started } from './contract.ts';
import { isFresh, type SessionDeps, startSession } from './sessions.ts';
import { shown } from './shown.ts';

export interface CommandLineDeps extends SessionDeps {
  readonly ephemera: Ephemera;
  readonly vault: Vault;
}

const minute = 60_000;
const offerLife = 10 * minute;
/** Seconds between polls; a little less is forgiven. */
const interval = 2;
const shortestPause = 1_500;
const offersOfAddress = { most: 60, window: 60 * minute };
/** Wrong codes of one person, over twice the life of a code. */
const triesOfOne = { most: 5, window: 2 * offerLife };

/** What waits under the device code's hash. Holds no secret: the session is made when it is collected. */
interface Offer {
  readonly organization: OrganizationId;
  readonly label: string;
  readonly address: string;
  readonly at: number;
  readonly expiresAt: number;
}

interface Approval {
  readonly user: UserId;
  readonly epoch: number;
  readonly authenticatedAt: number;
}

const deviceKey = (deviceHash: string) => ephemeraKey('device_sign_in', 'device', deviceHash);
const approvalKey = (deviceHash: string) => ephemeraKey('device_sign_in', 'approval', deviceHash);

/** The code a person types is kept only as an HMAC, because it has few bits. */
function codeKey(deps: CommandLineDeps, organization: OrganizationId, code: string): string {
  return ephemeraKey('device_sign_in', 'code', organization, deps.vault.mac(`device_sign_in ${organization}`, code));
}

export async function offerCommandLine(
  deps: CommandLineDeps,
  organization: OrganizationId,
  label: string,
  address: string,
): Promise<CommandLineOffer> {
  const offers = await deps.ephemera.bump(ephemeraKey('rate', 'command_line', countedAs(address)), offersOfAddress.window);
  if (offers > offersOfAddress.most) throw new Fault('rate_limited', { retryAfter: offersOfAddress.window / 1000 });
  const deviceCode = bearerValue();
  const code = userCode();
  const at = deps.clock.now();
  const expiresAt = at + offerLife;
  const offer: Offer = { organization, label: shown(label), address: address.slice(0, 64), at, expiresAt };
  const deviceHash = sha256(deviceCode.reveal());
  await deps.ephemera.put(deviceKey(deviceHash), JSON.stringify(offer), offerLife);
  await deps.ephemera.put(codeKey(deps, organization, code.reveal()), deviceHash, offerLife);
  return { deviceCode, userCode: code.reveal(), expiresAt, interval };
}

/** What the page shows before the person says yes. Spends nothing but a try. */
export async function viewCommandLine(deps: CommandLineDeps, user: User, typed: string) {
  await countTry(deps, user);
  const code = parseUserCode(typed);
  const deviceHash = code === undefined ? undefined : await deps.ephemera.get(codeKey(deps, user.organization, code));
  const offer = deviceHash === undefined ? undefined : await offerOf(deps, deviceHash);
  if (offer === undefined) throw new Fault('claim_code_wrong');
  await deps.ephemera.take(triesKey(user));
  return { label: offer.label, address: offer.address, at: offer.at };
}

/** Spends the code. Only a fresh browser session hands out a session (a command line never widens). */
export async function approveCommandLine(deps: CommandLineDeps, session: Session, typed: string): Promise<void> {
  const now = deps.clock.now();
  if (!isFresh(session, now)) throw new Fault('confirmation_required');
  await countTry(deps, session.user);
  const code = parseUserCode(typed);
  const deviceHash = code === undefined ? undefined : await deps.ephemera.take(codeKey(deps, session.organization, code));
  const offer = deviceHash === undefined ? undefined : await offerOf(deps, deviceHash);
  if (deviceHash === undefined || offer === undefined || offer.expiresAt <= now) throw new Fault('claim_code_wrong');
  await deps.ephemera.take(triesKey(session.user));
  const approval: Approval = { user: session.user.id, epoch: session.user.epoch, authenticatedAt: session.authenticatedAt };
  await deps.ephemera.put(approvalKey(deviceHash), JSON.stringify(approval), offer.expiresAt - now);
}

/** Undefined: nobody approved yet. The approval is taken by one poll, and the session remembers what it was made from. */
export async function collectCommandLine(deps: CommandLineDeps, deviceCode: string): Promise<Started | undefined> {
  const deviceHash = sha256(deviceCode);
  const offer = await offerOf(deps, deviceHash);
  if (offer === undefined) throw new Fault('link_ended');
  const polls = await deps.ephemera.bump(bearerKey('rate', `poll ${deviceHash}`), shortestPause);
  if (polls > 1) throw new Fault('rate_limited', { retryAfter: interval });
  const approval = await deps.ephemera.take(approvalKey(deviceHash));
  if (approval === undefined) return undefined;
  await deps.ephemera.take(deviceKey(deviceHash));
  return mint(deps, deviceHash, offer, JSON.parse(approval) as Approval);
}

async function mint(deps: CommandLineDeps, deviceHash: string, offer: Offer, approval: Approval): Promise<Started> {
  const user = await deps.identity.user(offer.organization, approval.user);
  if (user?.status !== 'active' || user.epoch !== approval.epoch) throw new Fault('link_ended');
  const { label, address } = offer;
  const { authenticatedAt } = approval;
  try {
    return await deps.records
      .in(offer.organization)
      .write((tx) =>
        startSession(deps, tx, { user, kind: 'command_line', method: 'device', address, label, authenticatedAt, madeFrom: deviceHash }),
      );
  } catch (error) {
    if (isUniqueViolation(error)) throw new Fault('link_ended', { cause: error });
    throw error;
  }
}

async function offerOf(deps: CommandLineDeps, deviceHash: string): Promise<Offer | undefined> {
  const text = await deps.ephemera.get(deviceKey(deviceHash));
  return text === undefined ? undefined : (JSON.parse(text) as Offer);
}

const triesKey = (user: User) => ephemeraKey('claim_tries', user.organization, 'command_line', user.id);

async function countTry(deps: CommandLineDeps, user: User): Promise<void> {
  if ((await deps.ephemera.bump(triesKey(user), triesOfOne.window)) > triesOfOne.most) {
    throw new Fault('rate_limited', { retryAfter: triesOfOne.window / 1000 });
  }
}
