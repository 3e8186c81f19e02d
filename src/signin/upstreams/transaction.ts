import { z } from 'zod';
import { Fault, type OrganizationId, parseId, Secret, type SessionId, type UpstreamId, type UserId } from '#kernel';
import { bearerKey, sha256 } from '#store';
import { waitingLabel } from './credentials.ts';
import type { UpstreamGround } from './deps.ts';

const life = 10 * 60_000;

const shape = z.object({
  organization: z.string(),
  upstream: z.string(),
  version: z.int(),
  nonce: z.string(),
  verifier: z.string(),
  /** SHA-256 of what the browser holds that began it. */
  binding: z.string(),
  next: z.string(),
  again: z.boolean(),
  /** Whose account it is linked to, by which session. */
  link: z.object({ user: z.string(), session: z.string() }).optional(),
  at: z.int(),
});

/** A sign-in that has left for an upstream. Everything that its answer is judged by. */
export interface Transaction {
  readonly organization: OrganizationId;
  readonly upstream: UpstreamId;
  readonly version: number;
  readonly nonce: string;
  readonly verifier: string;
  readonly binding: string;
  readonly next: string;
  readonly again: boolean;
  readonly link?: { readonly user: UserId; readonly session: SessionId } | undefined;
  readonly at: number;
}

type Deps = Pick<UpstreamGround, 'vault' | 'ephemera'>;

/** Sealed, because it holds a verifier (SECURITY 18), under the state's hash. */
export async function keepTransaction(deps: Deps, state: Secret<string>, transaction: Transaction): Promise<void> {
  const label = waitingLabel('upstream_sign_in', transaction.organization, state.reveal());
  const envelope = await deps.vault.enclose(label, new Secret(JSON.stringify(transaction)));
  const value = `${transaction.organization} ${Buffer.from(envelope).toString('base64url')}`;
  await deps.ephemera.put(bearerKey('upstream_sign_in', state.reveal()), value, life);
}

/** Takes it: a state is good once, whoever brings it. @throws {Fault} `link_ended` */
export async function takeTransaction(deps: Deps, state: string): Promise<Transaction> {
  const [organization, envelope] = (await deps.ephemera.take(bearerKey('upstream_sign_in', state)))?.split(' ') ?? [];
  if (organization === undefined || envelope === undefined) throw new Fault('link_ended');
  const label = waitingLabel('upstream_sign_in', organization as OrganizationId, state);
  const opened = await deps.vault.disclose(label, Buffer.from(envelope, 'base64url'));
  return shape.parse(JSON.parse(opened.reveal())) as Transaction;
}

/** Whose it is, without taking it. */
export async function ownerOf(deps: Pick<Deps, 'ephemera'>, state: string): Promise<OrganizationId | undefined> {
  return parseId('org', (await deps.ephemera.get(bearerKey('upstream_sign_in', state)))?.split(' ')[0] ?? '');
}

export const bindingOf = (binding: string): string => sha256(`upstream sign-in ${binding}`);
