import { Fault } from '#kernel';
import { askable } from '../askable.ts';
import type { Client } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import type { Parameters } from '../parameters.ts';
import { readScopes } from '../scopes.ts';
import type { Asking, Scoped } from '../stages.ts';

/** What is asked for, all of it the client's to ask; without the parameter, what the client is registered for (RFC 6749 §3.3). */
export async function checkScopes<S extends Asking & { readonly resources: readonly string[] }>(
  deps: IssuerDeps,
  asked: S,
): Promise<Scoped<S>> {
  const { client, at, resources, parameters } = asked;
  const most = askable(client, await deps.resources.registered(at.organization.id), resources).scopes;
  if (parameters.one('scope') === undefined) return { ...asked, scopes: client.assumedScopes.filter((scope) => most.includes(scope)) };
  return { ...asked, scopes: scopesWithin(parameters, most) };
}

/** @throws {Fault} `scope_invalid` */
export function scopesWithin(parameters: Parameters, most: Client['scopes']): readonly string[] {
  const asked = readScopes(parameters.one('scope'));
  if (asked === undefined || !asked.every((scope) => most.includes(scope))) throw new Fault('scope_invalid');
  return asked.length === 0 ? most : asked;
}
