import type { Client, Resource } from './contract.ts';
import type { Reach } from './stages.ts';

/**
 * What a client may ask a person for: what it is registered for, and every registered resource that is open. Of an open resource
 * that is asked for, its scopes too. For itself a client has what it is registered for, and nothing else.
 */
export function askable(client: Client, registered: ReadonlyMap<string, Resource>, asked: readonly string[] = []): Reach {
  const open = [...registered.values()].filter((resource) => resource.open);
  const scopes = open.filter(({ identifier }) => asked.includes(identifier)).flatMap((resource) => resource.scopes.map(({ name }) => name));
  return {
    resources: [...client.resources, ...open.map(({ identifier }) => identifier)],
    scopes: [...new Set([...client.scopes, ...scopes])],
  };
}
