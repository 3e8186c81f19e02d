import type { User } from '#identity';
import { Fault, newId, parseId, type SignInMethodId } from '#kernel';
import { isUniqueViolation, type Writing } from '#store';
import type { Session } from '../contract.ts';
import { principalOf } from '../sessions.ts';
import type { Arrival, Arrived, SignInMethod, Upstream } from './contract.ts';
import type { UpstreamDeps } from './deps.ts';
import { deleteMethod, insertMethod, methodOf, methodsOf } from './methods.sql.ts';
import type { UpstreamIdentity } from './person.ts';
import type { Transaction } from './transaction.ts';
import { holdUpstream } from './upstreams.sql.ts';

/** Links the account to the person, in the caller's transaction. @throws {UniqueViolation} when it is linked to anybody */
export async function addMethod(
  deps: UpstreamDeps,
  tx: Writing,
  upstream: Upstream,
  identity: UpstreamIdentity,
  user: User,
): Promise<void> {
  const now = deps.clock.now();
  const id = newId('sim', now);
  if (!(await holdUpstream(tx, upstream.organization, upstream.id))) throw new Fault('upstream_unknown');
  await insertMethod(tx, {
    id,
    organization_id: upstream.organization,
    created_at: now,
    user_id: user.id,
    kind: 'upstream',
    authority: upstream.id,
    subject_hash: identity.subjectHash,
    label: identity.label,
    details_json: '{}',
    used_at: now,
  });
  const fields = { method: id, kind: 'upstream', upstream: upstream.name, account: identity.label };
  await deps.audit.record(tx, { name: 'sign_in_method.added', principal: principalOf(user), fields });
}

/** The person proved who they are here before they left, and is the same who came back. @throws {Fault} `conflict`, `link_ended` */
export async function linkTo(
  deps: UpstreamDeps,
  upstream: Upstream,
  identity: UpstreamIdentity,
  { session }: Arrival,
  { link, next }: Transaction,
): Promise<Arrived> {
  if (session === undefined || session.user.id !== link?.user) throw new Fault('link_ended');
  const { organization, id } = upstream;
  try {
    await deps.records.in(organization).write((tx) => addMethod(deps, tx, upstream, identity, session.user));
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    const standing = await deps.records.in(organization).read((tx) => methodOf(tx, organization, id, identity.subjectHash));
    if (standing?.user_id !== session.user.id)
      throw new Fault('conflict', {
        detail: 'That account is linked to somebody else here',
        hint: 'sign in with it, and unlink it there first',
      });
  }
  return { kind: 'linked', label: identity.label, next };
}

export async function listMethods(deps: UpstreamDeps, user: User): Promise<readonly SignInMethod[]> {
  const { organization } = user;
  const rows = await deps.records.in(organization).read((tx) => methodsOf(tx, organization, user.id));
  const known = await Promise.all(rows.map(async (row) => ({ row, kept: await deps.registry.find(organization, row.authority) })));
  return known.flatMap(({ row, kept }) =>
    kept === undefined
      ? []
      : [
          {
            id: row.id,
            kind: row.kind,
            upstream: kept.upstream.name,
            upstreamLabel: kept.upstream.label,
            label: row.label,
            createdAt: row.created_at,
            usedAt: row.used_at,
          },
        ],
  );
}

/** The last way in stays: the rows of a person are counted after the bump, whose lock lets no two of them go at once. */
export async function unlink(deps: UpstreamDeps, session: Session, given: string): Promise<void> {
  const id = parseId('sim', given);
  if (id === undefined) throw new Fault('not_found');
  const { organization, user } = session;
  await deps.records.in(organization).write((tx) => endMethod(deps, tx, user, id));
}

async function endMethod(deps: UpstreamDeps, tx: Writing, user: User, id: SignInMethodId): Promise<void> {
  await tx.bump('identity');
  if (!(await deleteMethod(tx, user.organization, user.id, id))) throw new Fault('not_found');
  const left = await methodsOf(tx, user.organization, user.id);
  if (left.length === 0 && !user.hasPassword)
    throw new Fault('conflict', { detail: 'This is your only way to sign in', hint: 'link another account first' });
  await deps.audit.record(tx, { name: 'sign_in_method.removed', principal: principalOf(user), fields: { method: id, kind: 'upstream' } });
}
