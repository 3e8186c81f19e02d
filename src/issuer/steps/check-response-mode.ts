import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import { canPost, responseModes } from '../responses.ts';
import type { Addressed } from '../stages.ts';

/** A code comes back in the query or in a form; a fragment is for tokens, which never take that way here (OAuth 2.1 §10.1). */
export function checkResponseMode<S extends Addressed>(_: IssuerDeps, asked: S): S {
  const mode = asked.parameters.one('response_mode');
  if (mode !== undefined && !(responseModes as readonly string[]).includes(mode))
    throw new Fault('invalid_request', { detail: `A code comes by response_mode ${responseModes.join(' or ')}` });
  if (mode === 'form_post' && !canPost(asked.redirect))
    throw new Fault('invalid_request', { detail: 'A form can be posted to http and https only', hint: 'use response_mode=query' });
  return asked;
}
