import type { User } from '#identity';
import { Fault, parseId } from '#kernel';
import type { IssuerDeps } from './deps.ts';
import { ownIdToken } from './id-token-hints.ts';
import type { Asking } from './stages.ts';

const hints = ['login_hint', 'id_token_hint', 'login_hint_token'] as const;

/** The person that exactly one hint names (CIBA §7.1). @throws {Fault} `invalid_request`, `hinted_user_unknown` */
export async function hintedUser(deps: IssuerDeps, asked: Asking): Promise<User> {
  const given = hints.filter((name) => asked.parameters.one(name) !== undefined);
  if (given.length !== 1)
    throw new Fault('invalid_request', { detail: 'Exactly one hint names the person', hint: 'send login_hint or id_token_hint' });
  if (given[0] === 'login_hint_token')
    throw new Fault('invalid_request', { detail: 'login_hint_token is not taken here', hint: 'send login_hint or id_token_hint' });
  const hint = asked.parameters.one(given[0] ?? '') ?? '';
  const user = given[0] === 'login_hint' ? await byLoginHint(deps, asked, hint) : await byIdToken(deps, asked, hint);
  if (user?.status !== 'active') throw new Fault('hinted_user_unknown');
  return user;
}

/** An e-mail address, or the `sub` of our tokens. */
async function byLoginHint({ identity }: IssuerDeps, { at }: Asking, hint: string): Promise<User | undefined> {
  const id = parseId('usr', hint);
  return id === undefined ? identity.userByEmail(at.organization.id, hint.slice(0, 320)) : identity.user(at.organization.id, id);
}

/** An ID token that we gave this very client, however long ago. */
async function byIdToken(deps: IssuerDeps, { at, client }: Asking, hint: string): Promise<User | undefined> {
  const claims = await ownIdToken(deps, at, client, hint);
  if (claims === undefined)
    throw new Fault('invalid_request', { detail: 'The id_token_hint is not an ID token of this client', hint: 'send login_hint' });
  const id = parseId('usr', String(claims.sub));
  return id === undefined ? undefined : deps.identity.user(at.organization.id, id);
}
