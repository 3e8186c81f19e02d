import { Secret } from '#kernel';
import { bearerValue } from '#oauth';
import { ephemeraKey, sha256 } from '#store';
import { rowOf } from './client-rows.ts';
import type { Client } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { openHeld, sealHeld } from './sealed-requests.ts';
import type { Delivery } from './stages.ts';

/** RFC 9126 §2.2. */
const prefix = 'urn:ietf:params:oauth:request_uri:';

/** What a client pushed: the parameters of its authorization request, without what it proved itself with. */
export interface Pushed {
  readonly text: string;
  readonly delivery: Delivery;
  readonly expiresAt: number;
}

/** A reference that nobody can guess; its hash names what is pushed under it. */
export function newReference(): { readonly handle: Secret<string>; readonly hash: string } {
  const handle = bearerValue();
  return { handle, hash: sha256(handle.reveal()) };
}

export function requestUriOf(handle: Secret<string>): string {
  return prefix + handle.reveal();
}

/** The reference, if it is one of ours. */
export function pushedUnder(requestUri: string): Secret<string> | undefined {
  return requestUri.startsWith(prefix) ? new Secret(requestUri.slice(prefix.length)) : undefined;
}

/** The client is part of the key: under another one there is nothing (RFC 9126 §2.2). */
function keyOf({ organization, id }: Client, hash: string): string {
  return ephemeraKey('pushed_request', organization, rowOf(organization, id), hash);
}

/** Gives how long it waits, in milliseconds. @throws {Fault} `invalid_request` for what is too long */
export async function holdPushed(deps: IssuerDeps, client: Client, hash: string, pushed: Omit<Pushed, 'expiresAt'>): Promise<number> {
  const life = await deps.lifetimes.of(client, 'pushed_request');
  const kept: Pushed = { ...pushed, expiresAt: deps.clock.now() + life };
  const sealed = await sealHeld(deps, client.organization, { kind: 'pushed_request', hash }, JSON.stringify(kept));
  await deps.ephemera.put(keyOf(client, hash), sealed, life);
  return life;
}

/** To exactly one of all who ask. */
export async function takePushed(deps: IssuerDeps, client: Client, handle: Secret<string>): Promise<Pushed | undefined> {
  const hash = sha256(handle.reveal());
  const taken = await deps.ephemera.take(keyOf(client, hash));
  if (taken === undefined) return undefined;
  const pushed = JSON.parse(await openHeld(deps, client.organization, { kind: 'pushed_request', hash }, taken)) as Pushed;
  return deps.clock.now() < pushed.expiresAt ? pushed : undefined;
}
