import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Parameters } from '../parameters.ts';
import { isResource } from '../resources.ts';
import type { Challenged, Scoped } from '../stages.ts';

/** Each resource is one the client may have tokens for (RFC 8707 §2). */
export function checkResources(_: IssuerDeps, asked: Challenged & { readonly scopes: readonly string[] }): Scoped<Challenged> {
  return { ...asked, resources: resourcesWithin(asked.parameters, asked.client.resources) };
}

/** The resources asked for, in order, each once. @throws {Fault} `target_invalid` */
export function resourcesWithin(parameters: Parameters, most: readonly string[]): readonly string[] {
  const asked = [...new Set(parameters.all('resource'))];
  if (!asked.every((resource) => isResource(resource) && most.includes(resource))) throw new Fault('target_invalid');
  return asked;
}
