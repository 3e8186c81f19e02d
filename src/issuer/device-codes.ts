import type { User } from '#identity';
import { type ClientId, Fault, type OrganizationId, type SessionId, type UserId } from '#kernel';
import { countedAs } from '#net';
import { bearerValue, deviceUserCode, parseDeviceUserCode } from '#oauth';
import { isFresh, type Session } from '#signin';
import { bearerKey, ephemeraKey, sha256 } from '#store';
import type { DeviceAuthorization, DeviceView, Epochs, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { principalOf } from './grants.ts';
import { lives } from './lives.ts';
import { pollInterval } from './pace.ts';
import { scopeWords } from './scopes.ts';
import type { Authenticated, Reach, Scoped } from './stages.ts';

/** What a device asked for. It waits under the hash of its device code and holds no secret. */
export interface DeviceRequest extends Reach {
  readonly organization: OrganizationId;
  readonly client: ClientId;
  /** Where the device asked from. */
  readonly address: string;
  readonly at: number;
  readonly expiresAt: number;
}

/** What the person answered; one poll takes it. */
export type DeviceAnswer =
  | {
      readonly kind: 'yes';
      readonly user: UserId;
      readonly epochs: Epochs;
      readonly authenticatedAt: number;
      readonly methods: Session['methods'];
    }
  | { readonly kind: 'no' };

/** A request in front of the person who typed its code, in the browser in which they did. */
interface Typed {
  readonly device: string;
  readonly session: SessionId;
  /** The key under which the code waits: the first answer takes it. */
  readonly code: string;
}

/** A request is remembered for twice its life, so that a device that comes late is told so. */
const remembered = 2 * lives.longestDeviceCode;
/** Requests from one address. */
const offersOfAddress = { most: 200, window: 15 * 60_000 };
/** Codes that were typed and wrong. Twice a code's life: none that lived when the tries ran out lives when they come back. */
const tries = { window: remembered, person: 5, address: 50 };
/** How often one code may be looked at, by whomever. */
const mostLooks = 10;

export const requestKey = (device: string) => ephemeraKey('device_code', 'request', device);
export const answerKey = (device: string) => ephemeraKey('device_code', 'answer', device);
const looksKey = (device: string) => ephemeraKey('device_code', 'looks', device);
const typedKey = (transaction: string) => bearerKey('device_code', transaction);

/** The code a person types is kept only as an HMAC, because it has few bits (SECURITY 18). */
function codeKey({ vault }: IssuerDeps, organization: OrganizationId, code: string): string {
  return ephemeraKey('device_code', 'code', organization, vault.mac(`device_code ${organization}`, code));
}

/** A pair of codes: one for the device, one for its person (RFC 8628 §3.2). @throws {Fault} `rate_limited` */
export async function offerDeviceCode(
  deps: IssuerDeps,
  { at, client, scopes, resources }: Scoped<Authenticated>,
  from: string,
): Promise<DeviceAuthorization> {
  const address = from.slice(0, 64);
  const offers = await deps.ephemera.bump(ephemeraKey('rate', 'device_code', countedAs(from)), offersOfAddress.window);
  if (offers > offersOfAddress.most) throw new Fault('rate_limited', { retryAfter: offersOfAddress.window / 1000 });
  const deviceCode = bearerValue();
  const device = sha256(deviceCode.reveal());
  const userCode = deviceUserCode().reveal();
  const now = deps.clock.now();
  const life = await deps.lifetimes.of(client, 'device_code');
  const organization = at.organization.id;
  const request: DeviceRequest = {
    organization,
    client: client.id,
    scopes,
    resources,
    address,
    at: now,
    expiresAt: now + life,
  };
  await deps.ephemera.put(requestKey(device), JSON.stringify(request), remembered);
  await deps.ephemera.put(codeKey(deps, organization, userCode), device, life);
  return { deviceCode, userCode, verificationUri: `${at.issuer}/device`, expiresIn: life / 1000, interval: pollInterval };
}

/** What a person typed, and from where. */
interface Given {
  readonly typed: string;
  readonly address: string;
}

/** What waits under a code that a person typed, tied to their browser. @throws {Fault} `device_code_wrong`, `rate_limited` */
export async function typeDeviceCode(deps: IssuerDeps, at: Issuing, session: Session, given: Given): Promise<DeviceView> {
  if (session.organization !== at.organization.id) throw new Fault('link_ended');
  await countTry(deps, session.user, given.address);
  const code = parseDeviceUserCode(given.typed);
  const key = code === undefined ? undefined : codeKey(deps, at.organization.id, code);
  const device = key === undefined ? undefined : await deps.ephemera.get(key);
  if (key === undefined || device === undefined) throw new Fault('device_code_wrong');
  if ((await deps.ephemera.bump(looksKey(device), remembered)) > mostLooks) {
    await deps.ephemera.take(key);
    throw new Fault('device_code_wrong');
  }
  await deps.ephemera.take(personTries(session.user));
  const transaction = bearerValue().reveal();
  const waiting: Typed = { device, session: session.id, code: key };
  await deps.ephemera.put(typedKey(transaction), JSON.stringify(waiting), lives.longestDeviceCode);
  return viewOf(deps, device, transaction);
}

/** The same once more, in the browser in which the code was typed. @throws {Fault} `link_ended` */
export async function viewDevice(deps: IssuerDeps, session: Session, transaction: string): Promise<DeviceView> {
  const { device } = tiedTo(session, await deps.ephemera.get(typedKey(transaction)));
  return viewOf(deps, device, transaction);
}

/**
 * The person's answer, from the browser in which the code was typed. It spends the code, so of several answers the first one
 * counts. @throws {Fault} `link_ended`, `confirmation_required`
 */
export async function answerDevice(deps: IssuerDeps, at: Issuing, session: Session, transaction: string, yes: boolean): Promise<void> {
  if (yes && !isFresh(session, deps.clock.now())) throw new Fault('confirmation_required');
  tiedTo(session, await deps.ephemera.get(typedKey(transaction)));
  const { device, code } = tiedTo(session, await deps.ephemera.take(typedKey(transaction)));
  const spent = await deps.ephemera.take(code);
  const request = await deviceRequest(deps, device);
  const left = (request?.expiresAt ?? 0) - deps.clock.now();
  if (spent !== device || request === undefined || left <= 0) throw new Fault('link_ended');
  await tell(deps, session.user, request, yes);
  const { user, authenticatedAt, methods } = session;
  const epochs = { user: user.epoch, organization: at.organization.epoch };
  const answer: DeviceAnswer = yes ? { kind: 'yes', user: user.id, epochs, authenticatedAt, methods } : { kind: 'no' };
  await deps.ephemera.put(answerKey(device), JSON.stringify(answer), left);
}

export async function deviceRequest({ ephemera }: IssuerDeps, device: string): Promise<DeviceRequest | undefined> {
  const text = await ephemera.get(requestKey(device));
  return text === undefined ? undefined : (JSON.parse(text) as DeviceRequest);
}

function tiedTo(session: Session, text: string | undefined): Typed {
  const typed = text === undefined ? undefined : (JSON.parse(text) as Typed);
  if (typed?.session !== session.id) throw new Fault('link_ended');
  return typed;
}

async function viewOf(deps: IssuerDeps, device: string, transaction: string): Promise<DeviceView> {
  const request = await deviceRequest(deps, device);
  const client = request === undefined ? undefined : await deps.clients.find(request.organization, request.client);
  if (request === undefined || client === undefined) throw new Fault('device_code_wrong');
  const { scopes, resources, address, at } = request;
  const registered = await deps.resources.registered(request.organization);
  return {
    transaction,
    client: { id: client.id, name: client.name },
    scopes: scopes.map((name) => ({ name, tells: scopeWords(name, registered, resources) })),
    resources,
    address,
    at,
  };
}

const personTries = ({ organization, id }: User) => ephemeraKey('claim_tries', organization, 'device', id);

/** Few tries for one person and for one address, and few looks at one code: 45 bits stay out of reach of guessing (RFC 8628 §5.1). */
async function countTry({ ephemera }: IssuerDeps, user: User, address: string): Promise<void> {
  const counted = [
    [personTries(user), tries.person],
    [ephemeraKey('claim_tries', user.organization, 'device_address', countedAs(address)), tries.address],
  ] as const;
  for (const [key, most] of counted)
    if ((await ephemera.bump(key, tries.window)) > most) throw new Fault('rate_limited', { retryAfter: tries.window / 1000 });
}

async function tell(deps: IssuerDeps, user: User, { client, scopes, resources, address }: DeviceRequest, yes: boolean): Promise<void> {
  const principal = principalOf({ organization: user.organization, user: user.id });
  const event = yes
    ? ({ name: 'device.approved', principal, fields: { client, scopes, resources, address } } as const)
    : ({ name: 'device.refused', principal, fields: { client, address } } as const);
  await deps.records.in(user.organization).write((tx) => deps.audit.record(tx, event));
}
