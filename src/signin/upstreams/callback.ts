import type { Identity } from '#identity';
import { Fault } from '#kernel';
import type { Arrival, Upstream } from './contract.ts';

/**
 * The redirect URI of an upstream. Each has its own, so that an answer of one never passes for another's (RFC 9700 §4.4.2);
 * the platform's client at a kind has one for all organizations, because its endpoints are nobody's to choose.
 */
export async function callbackOf(
  deps: { readonly identity: Pick<Identity, 'organization'>; readonly publicUrl: string },
  { organization, name, kind, source }: Pick<Upstream, 'organization' | 'name' | 'kind' | 'source'>,
): Promise<string> {
  if (source === 'platform') return `${deps.publicUrl}/signin/platform/${kind}`;
  return `${(await deps.identity.organization(organization)).issuer}/signin/callback/${name}`;
}

/** Whether the answer came to where this upstream's answers come. @throws {Fault} `link_ended` */
export function checkPlace({ name, kind, source }: Upstream, at: Arrival['at']): void {
  const right = 'platform' in at ? source === 'platform' && at.platform === kind : source === 'own' && at.upstream === name;
  if (!right) throw new Fault('link_ended');
}
