import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Challenged } from '../stages.ts';

/** The key that alone may redeem the code, where the request names one by its thumbprint (RFC 9449 §10). */
export function checkDpopKey(_: IssuerDeps, asked: Omit<Challenged, 'jkt'>): Challenged {
  const jkt = asked.parameters.one('dpop_jkt');
  if (jkt !== undefined && !/^[A-Za-z0-9_-]{43}$/.test(jkt))
    throw new Fault('invalid_request', { detail: 'dpop_jkt is not the SHA-256 thumbprint of a key' });
  return { ...asked, jkt };
}
