import { Fault } from '#kernel';
import { askable } from '../askable.ts';
import type { IssuerDeps } from '../deps.ts';
import type { Parameters } from '../parameters.ts';
import type { Asking } from '../stages.ts';

/** Each resource is one the client may ask a person for (RFC 8707 §2). */
export async function checkResources<S extends Asking>(deps: IssuerDeps, asked: S): Promise<S & { readonly resources: readonly string[] }> {
  const most = askable(asked.client, await deps.resources.registered(asked.at.organization.id)).resources;
  return { ...asked, resources: resourcesWithin(asked.parameters, most) };
}

/** The resources asked for, in order, each once: what may be asked for was judged when it was registered. @throws {Fault} `target_invalid` */
export function resourcesWithin(parameters: Parameters, most: readonly string[]): readonly string[] {
  const asked = [...new Set(parameters.all('resource'))];
  if (!asked.every((resource) => most.includes(resource))) throw new Fault('target_invalid');
  return asked;
}
