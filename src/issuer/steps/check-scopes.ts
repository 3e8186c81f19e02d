import { Fault } from '#kernel';
import type { Client } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import type { Parameters } from '../parameters.ts';
import { readScopes } from '../scopes.ts';
import type { Challenged } from '../stages.ts';

/** What is asked for, all of it the client's to ask; without the parameter, what the client is registered for (RFC 6749 §3.3). */
export function checkScopes(_: IssuerDeps, asked: Challenged): Challenged & { readonly scopes: readonly string[] } {
  return { ...asked, scopes: scopesWithin(asked.parameters, asked.client.scopes) };
}

/** @throws {Fault} `scope_invalid` */
export function scopesWithin(parameters: Parameters, most: Client['scopes']): readonly string[] {
  const asked = readScopes(parameters.one('scope'));
  if (asked === undefined || !asked.every((scope) => most.includes(scope))) throw new Fault('scope_invalid');
  return asked.length === 0 ? most : asked;
}
