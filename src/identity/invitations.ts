import { Fault, type InvitationId, newId, type OrganizationId, type Principal } from '#kernel';
import { isUniqueViolation, pageOf, sha256, type Writing } from '#store';
import type { Invitation, InvitationDraft, Listing, ListQuery, User } from './contract.ts';
import { parseEmail } from './email.ts';
import { endInvitation, insertInvitation, invitationOf, invitationsPage, openInvitation } from './invitations.sql.ts';
import { pageStart } from './page.ts';
import { createUser, type UserDeps } from './users.ts';

const day = 24 * 3_600_000;
/** How long a person has to accept. */
const life = 7 * day;

/** Somebody may make an account, once, with the link that whoever invites them has made; its hash is kept. */
export async function invite(deps: UserDeps, tx: Writing, by: Principal, draft: InvitationDraft): Promise<Invitation> {
  const email = parseEmail(draft.email);
  if (!/^[0-9a-f]{64}$/.test(draft.tokenHash))
    throw new Fault('invalid_request', { fields: { '/token_sha256': 'write the SHA-256 of 256 random bits, in hexadecimal' } });
  const now = deps.clock.now();
  const row = {
    id: newId('inv', now),
    organization_id: by.organization,
    created_at: now,
    email,
    role: draft.role,
    token_hash: draft.tokenHash,
    expires_at: now + life,
  };
  await insertInvitation(tx, row).catch((cause: unknown) => {
    if (!isUniqueViolation(cause)) throw cause;
    throw new Fault('conflict', { cause, detail: 'this link is in use: make a new one' });
  });
  await deps.audit.record(tx, { name: 'invitation.made', principal: by, fields: { invitation: row.id, role: row.role } });
  return invitationOf({ ...row, row: 0, ended_at: null, version: 1 });
}

export async function invitation(deps: UserDeps, organization: OrganizationId, token: string): Promise<Invitation | undefined> {
  const row = await deps.records.in(organization).read((tx) => openInvitation(tx, organization, sha256(token), deps.clock.now()));
  return row === undefined ? undefined : invitationOf(row);
}

export async function invitations(deps: UserDeps, organization: OrganizationId, query: ListQuery): Promise<Listing<Invitation>> {
  const start = pageStart(query);
  const rows = await deps.records.in(organization).read((tx) => invitationsPage(tx, organization, deps.clock.now(), start));
  return pageOf(rows, start.limit, invitationOf);
}

/** Spends the link in the transaction that makes the person: of two at once, one. @throws {Fault} `link_ended`, `conflict` */
export async function acceptInvitation(
  deps: UserDeps,
  tx: Writing,
  organization: OrganizationId,
  person: { readonly token: string; readonly name: string; readonly passwordHash: string },
): Promise<User> {
  const now = deps.clock.now();
  const open = await openInvitation(tx, organization, sha256(person.token), now);
  if (open === undefined || !(await endInvitation(tx, organization, open.id, now))) throw new Fault('link_ended');
  const { email, role } = open;
  return createUser(deps, tx, { organization, email, name: person.name, role, passwordHash: person.passwordHash });
}

/** @throws {Fault} `not_found` */
export async function withdrawInvitation(deps: UserDeps, by: Principal, id: InvitationId): Promise<void> {
  await deps.records.in(by.organization).write(async (tx) => {
    if (!(await endInvitation(tx, by.organization, id, deps.clock.now()))) throw new Fault('not_found');
    await deps.audit.record(tx, { name: 'invitation.withdrawn', principal: by, fields: { invitation: id } });
  });
}
