import { Fault, type OrganizationId, Secret } from '#kernel';
import type { Label } from '#vault';
import type { IssuerDeps } from './deps.ts';

/** A request that lies in Ephemera, where it is sealed: it may hold tokens and addresses of people (SECURITY 18). */
export interface HeldName {
  readonly kind: 'pushed_request' | 'authorization_request';
  /** SHA-256 of what it is found by. */
  readonly hash: string;
}

function labelOf(organization: OrganizationId, { kind, hash }: HeldName): Label {
  return { owner: { kind: 'organization', organization }, key: `${kind}/${hash}`, version: 1 };
}

/** What Ephemera takes at most, in characters. */
const longest = 64 * 1024;

/** @throws {Fault} `invalid_request` for a request that is too long to be kept */
export async function sealHeld(deps: IssuerDeps, organization: OrganizationId, name: HeldName, text: string): Promise<string> {
  const sealed = Buffer.from(await deps.vault.enclose(labelOf(organization, name), new Secret(text))).toString('base64url');
  if (sealed.length > longest) throw new Fault('invalid_request', { detail: 'The authorization request is too long' });
  return sealed;
}

export async function openHeld(deps: IssuerDeps, organization: OrganizationId, name: HeldName, sealed: string): Promise<string> {
  return (await deps.vault.disclose(labelOf(organization, name), Buffer.from(sealed, 'base64url'))).reveal();
}
