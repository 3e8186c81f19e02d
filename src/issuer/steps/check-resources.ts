import { Fault } from '#kernel';
import { askable } from '../askable.ts';
import type { Grant } from '../contract.ts';
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

/**
 * What a grant may still have tokens for: those of its resources that its client could ask for now. Where there were some and none is
 * left, nothing takes their place. @throws {Fault} `target_invalid`
 */
export async function standingResources(
  deps: IssuerDeps,
  { at, client }: Pick<Asking, 'at' | 'client'>,
  { resources }: Pick<Grant, 'resources'>,
): Promise<readonly string[]> {
  const most = askable(client, await deps.resources.registered(at.organization.id)).resources;
  const left = resources.filter((resource) => most.includes(resource));
  if (left.length === 0 && resources.length > 0)
    throw new Fault('target_invalid', { detail: 'What was granted is for resources that were removed, or are no longer for this client' });
  return left;
}
