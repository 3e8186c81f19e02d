import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Addressed, Challenged } from '../stages.ts';

/** S256 and nothing else, for every client, before a person is bothered (RFC 7636 §4.3, §4.4.1). */
export function checkPkce(_: IssuerDeps, asked: Addressed): Omit<Challenged, 'jkt'> {
  const challenge = asked.parameters.one('code_challenge');
  if (challenge === undefined) throw new Fault('invalid_request', { detail: 'The parameter code_challenge is missing' });
  if (asked.parameters.one('code_challenge_method') !== 'S256')
    throw new Fault('invalid_request', { detail: 'The only code_challenge_method is S256' });
  if (!/^[A-Za-z0-9_-]{43}$/.test(challenge)) throw new Fault('invalid_request', { detail: 'The code_challenge is not of S256' });
  return { ...asked, challenge };
}
