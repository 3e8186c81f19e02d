import { Fault } from '#kernel';
import type { Session } from '#signin';
import { isMeetable, isMet } from './authentication-contexts.ts';
import type { Expecting } from './stages.ts';

export type SignIn = { readonly needed: true; readonly again: boolean } | { readonly needed: false; readonly session: Session };

/**
 * Whether the person must prove who they are, first or once more (OpenID Connect Core §3.1.2.1: prompt, max_age, id_token_hint,
 * acr_values). Who has just done so and still is not whom or what the request needs is not asked for ever.
 * @throws {Fault} `login_needed` for somebody else, `authentication_unmet`
 */
export function signInNeeded(asked: Expecting, session: Session | undefined, startedAt: number): SignIn {
  if (session === undefined || session.organization !== asked.at.organization.id) return { needed: true, again: session !== undefined };
  const since = session.authenticatedAt >= startedAt;
  if (isSomebodyElse(asked, session)) {
    if (since) throw new Fault('login_needed', { detail: 'Somebody else signed in than the one who is meant' });
    return { needed: true, again: true };
  }
  const old = asked.maxAge !== undefined && startedAt - session.authenticatedAt > asked.maxAge;
  const before = !since && (asked.prompt.has('login') || asked.prompt.has('create'));
  return old || before || isTooWeak(asked, session, since) ? { needed: true, again: true } : { needed: false, session };
}

function isSomebodyElse({ subject }: Expecting, { user }: Session): boolean {
  return subject !== undefined && subject !== user.id;
}

function isTooWeak({ context }: Expecting, { methods }: Session, since: boolean): boolean {
  if (context === undefined || isMet(context, methods)) return false;
  if (!since && isMeetable(context)) return true;
  if (context.essential) throw new Fault('authentication_unmet');
  return false;
}
