import { type OrganizationId, Secret } from '#kernel';
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

export async function sealHeld(deps: IssuerDeps, organization: OrganizationId, name: HeldName, text: string): Promise<string> {
  return Buffer.from(await deps.vault.enclose(labelOf(organization, name), new Secret(text))).toString('base64url');
}

export async function openHeld(deps: IssuerDeps, organization: OrganizationId, name: HeldName, sealed: string): Promise<string> {
  return (await deps.vault.disclose(labelOf(organization, name), Buffer.from(sealed, 'base64url'))).reveal();
}
