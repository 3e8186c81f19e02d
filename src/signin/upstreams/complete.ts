import { Fault, isFault } from '#kernel';
import { principalOf } from '../sessions.ts';
import { arrive } from './arrive.ts';
import { checkPlace } from './callback.ts';
import type { Arrival, Arrived } from './contract.ts';
import type { UpstreamDeps } from './deps.ts';
import { linkTo } from './methods.ts';
import { identityFrom } from './person.ts';
import { redeem } from './redeem.ts';
import type { Kept } from './registry.ts';
import { bindingOf, type Transaction, takeTransaction } from './transaction.ts';

/**
 * Ends a sign-in with what the browser brought back. The state is taken first, so that it is good once, whoever brings it;
 * then it must be this browser's, this organization's and this upstream's as it still stands. What goes wrong after
 * that is told on the page that it began on.
 */
export async function complete(deps: UpstreamDeps, arrival: Arrival): Promise<Arrived> {
  const state = onlyOne(arrival.parameters, 'state');
  const transaction = await takeTransaction(deps, state);
  const kept = await belongs(deps, arrival, transaction);
  try {
    const { claims, authenticatedAt } = await redeem(deps, kept, transaction, arrival.parameters, state);
    const identity = identityFrom(kept.upstream, claims, authenticatedAt);
    if (transaction.link !== undefined) return await linkTo(deps, kept.upstream, identity, arrival, transaction);
    const started = await arrive(deps, kept.upstream, identity, { arrival, transaction, state });
    return { kind: 'signed_in', started, next: transaction.next };
  } catch (error) {
    if (!isFault(error)) throw error;
    tellOperator(deps, kept, error);
    await recordRefusal(deps, kept, arrival, error);
    return { kind: 'refused', fault: error, linking: transaction.link !== undefined, next: transaction.next };
  }
}

/** A parameter that is there once. @throws {Fault} `link_ended` */
function onlyOne(parameters: URLSearchParams, name: string): string {
  const values = parameters.getAll(name);
  const [value] = values;
  if (values.length !== 1 || value === undefined || value === '' || value.length > 4096) throw new Fault('link_ended');
  return value;
}

/** @throws {Fault} `link_ended` */
async function belongs(deps: UpstreamDeps, arrival: Arrival, transaction: Transaction): Promise<Kept> {
  const { binding, session, organization, at } = arrival;
  const mine = transaction.organization === organization && binding !== undefined && bindingOf(binding) === transaction.binding;
  if (!mine) throw new Fault('link_ended');
  if (transaction.link !== undefined && transaction.link.session !== session?.id) throw new Fault('link_ended');
  const kept = await deps.registry.find(organization, transaction.upstream);
  if (kept === undefined || kept.upstream.version !== transaction.version) throw new Fault('link_ended');
  checkPlace(kept.upstream, at);
  return kept;
}

/** The person learns that it failed; why, is for whoever set it up. */
function tellOperator({ log }: UpstreamDeps, { upstream }: Kept, { code, row, details }: Fault): void {
  if (row.status < 500) return;
  log.warn('a sign-in through an upstream failed', { upstream: upstream.name, code, cause: String(details.cause ?? details.detail) });
}

async function recordRefusal(deps: UpstreamDeps, { upstream }: Kept, { session, address }: Arrival, { code }: Fault): Promise<void> {
  const { organization } = upstream;
  const principal =
    session === undefined ? ({ organization, subject: { kind: 'system' }, actors: [] } as const) : principalOf(session.user);
  const fields = { method: 'upstream', upstream: upstream.name, reason: code, address };
  await deps.records.in(organization).write((tx) => deps.audit.record(tx, { name: 'sign_in.failed', principal, fields }));
}
