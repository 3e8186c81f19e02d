import { Fault, type OrganizationId, type Secret } from '#kernel';
import type { Started } from './contract.ts';
import { checkNewPassword } from './password-rules.ts';
import type { Passwords } from './passwords.ts';
import { type SessionDeps, startSession } from './sessions.ts';

export interface JoinDeps extends SessionDeps {
  readonly passwords: Passwords;
}

export interface Joining {
  readonly token: string;
  readonly name: string;
  readonly password: Secret<string>;
  readonly address: string;
  readonly label: string;
}

/** Somebody who was invited makes their account: what can be wrong with it is found before the link is spent. @throws {Fault} `link_ended`, `invalid_request`, `conflict` */
export async function join(deps: JoinDeps, organization: OrganizationId, joining: Joining): Promise<Started> {
  const { token, name, password, address, label } = joining;
  const invitation = await deps.identity.invitation(organization, token);
  if (invitation === undefined) throw new Fault('link_ended');
  if (name.trim() === '') throw new Fault('invalid_request', { fields: { '/name': 'give a name' } });
  checkNewPassword(password, invitation.email);
  const passwordHash = await deps.passwords.hash(password);
  return deps.records.in(organization).write(async (tx) => {
    const user = await deps.identity.acceptInvitation(tx, organization, { token, name, passwordHash });
    const authenticatedAt = deps.clock.now();
    return startSession(deps, tx, { user, kind: 'browser', method: 'invitation', address, label, authenticatedAt, madeFrom: token });
  });
}
