import { type ClientId, Fault } from '#kernel';
import { countedAs } from '#net';
import { bearerValue } from '#oauth';
import type { Session } from '#signin';
import { ephemeraKey, sha256 } from '#store';
import type { Browsing, Client, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { lives } from './lives.ts';
import { readParameters } from './parameters.ts';
import { redirectSource } from './redirects.ts';
import { openHeld, sealHeld } from './sealed-requests.ts';
import type { Delivery, Requested } from './stages.ts';

/** A request that waits for its person: what its client asks for, judged again at every step. */
interface Waiting {
  readonly client: ClientId;
  /** The client as its document described it when it asked: a person answers what they saw. */
  readonly described: Client | undefined;
  readonly text: string;
  readonly delivery: Delivery;
  /** SHA-256 of what ties it to the browser that began it. */
  readonly binding: string;
  readonly startedAt: number;
}

/** Requests that may come to wait from one address, or in one session: as many as may then try to sign in. */
const mostWaiting = { most: 200, window: 15 * 60_000 };

/** @throws {Fault} `rate_limited` */
export async function countWaiting({ ephemera }: IssuerDeps, { session, address }: Pick<Browsing, 'session' | 'address'>): Promise<void> {
  const key = ephemeraKey('rate', 'authorization_request', session?.id ?? countedAs(address));
  const count = await ephemera.bump(key, mostWaiting.window);
  if (count > mostWaiting.most) throw new Fault('rate_limited', { retryAfter: mostWaiting.window / 1000 });
}

/** Keeps the request for this browser; gives the name under which it waits. */
export async function hold(deps: IssuerDeps, requested: Requested, browsing: Browsing, startedAt: number): Promise<string> {
  const { at, client, parameters, delivery } = requested;
  const binding = sha256(browsing.binding);
  const described = client.source === 'document' ? client : undefined;
  const waiting: Waiting = { client: client.id, described, text: parameters.text, delivery, binding, startedAt };
  const transaction = bearerValue().reveal();
  const sealed = await sealHeld(deps, at.organization.id, nameOf(transaction), JSON.stringify(waiting));
  await deps.ephemera.put(keyOf(at, transaction), sealed, lives.request);
  return transaction;
}

/** @throws {Fault} `link_ended` unless this very browser began it, at this issuer; `client_unknown` when its client was removed */
export async function held(
  deps: IssuerDeps,
  at: Issuing,
  transaction: string,
  browsing: Pick<Browsing, 'binding'>,
): Promise<{ readonly requested: Requested; readonly startedAt: number }> {
  const found = await waitingOf(deps, at, transaction);
  if (found?.binding !== sha256(browsing.binding)) throw new Fault('link_ended');
  const client = found.described ?? (await deps.clients.find(at.organization.id, found.client));
  if (client === undefined) throw new Fault('client_unknown');
  const { delivery, startedAt, text } = found;
  return { startedAt, requested: { at, client, delivery, parameters: readParameters(text), authorization: undefined } };
}

/** Exactly one caller gets past this. @throws {Fault} `link_ended` */
export async function spend(deps: IssuerDeps, at: Issuing, transaction: string): Promise<void> {
  if ((await deps.ephemera.take(keyOf(at, transaction))) === undefined) throw new Fault('link_ended');
}

/** Keeps that the person of this session is the one who is meant, beside the request: what was spent meanwhile stays spent. */
export async function choose(deps: IssuerDeps, at: Issuing, transaction: string, browsing: Chosen): Promise<void> {
  await held(deps, at, transaction, browsing);
  await deps.ephemera.put(choiceKey(at, transaction), browsing.session.id, lives.request);
}

type Chosen = Pick<Browsing, 'binding'> & { readonly session: Session };

export async function isChosen(deps: IssuerDeps, at: Issuing, transaction: string, session: Session): Promise<boolean> {
  return (await deps.ephemera.get(choiceKey(at, transaction))) === session.id;
}

function choiceKey({ organization }: Issuing, transaction: string): string {
  return ephemeraKey('account_choice', organization.id, sha256(transaction));
}

/** For whom a sign-in is, and where the browser goes afterwards. */
export async function waitingFor(deps: IssuerDeps, at: Issuing, transaction: string, binding: string) {
  const { client, parameters } = (await held(deps, at, transaction, { binding }).catch(nothing))?.requested ?? {};
  const redirect = parameters?.one('redirect_uri') ?? client?.redirectUris[0];
  if (client === undefined || redirect === undefined || !URL.canParse(redirect)) return undefined;
  const loginHint = parameters?.one('login_hint')?.slice(0, longestHint);
  return { client: client.name, destination: redirectSource(redirect), loginHint };
}

/** Longer ones are nobody's address. */
const longestHint = 254;

function nothing(error: unknown): undefined {
  if (error instanceof Fault && error.row.status < 500) return undefined;
  throw error;
}

async function waitingOf(deps: IssuerDeps, at: Issuing, transaction: string): Promise<Waiting | undefined> {
  const sealed = await deps.ephemera.get(keyOf(at, transaction));
  if (sealed === undefined) return undefined;
  return JSON.parse(await openHeld(deps, at.organization.id, nameOf(transaction), sealed)) as Waiting;
}

/** Of one organization: at another issuer there is nothing under this name. */
function keyOf({ organization }: Issuing, transaction: string): string {
  return ephemeraKey('authorization_request', organization.id, sha256(transaction));
}

function nameOf(transaction: string) {
  return { kind: 'authorization_request', hash: sha256(transaction) } as const;
}
