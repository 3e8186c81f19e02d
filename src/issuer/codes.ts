import type { ClientId, OrganizationId, UserId } from '#kernel';
import { bearerValue } from '#oauth';
import { bearerKey } from '#store';
import type { Epochs, GrantFacts } from './contract.ts';
import type { IssuerDeps } from './deps.ts';

/** What a code stands for. It lies in Ephemera under the code's hash and holds nothing secret: the challenge is a hash. */
export interface AuthorizationCode {
  readonly organization: OrganizationId;
  readonly client: ClientId;
  readonly user: UserId;
  readonly redirect: string;
  readonly challenge: string;
  /** The key that alone may redeem it. */
  readonly jkt: string | undefined;
  readonly scopes: readonly string[];
  readonly resources: readonly string[];
  readonly nonce: string | undefined;
  /** The hash of the reference of the pushed request it came from. */
  readonly pushed: string | undefined;
  readonly authenticatedAt: number;
  readonly facts: GrantFacts;
  readonly epochs: Epochs;
  readonly sid: string;
  readonly expiresAt: number;
}

/** A new code, good once. */
export async function makeCode(deps: IssuerDeps, given: Omit<AuthorizationCode, 'expiresAt'>, life: number) {
  const code = bearerValue();
  const kept: AuthorizationCode = { ...given, expiresAt: deps.clock.now() + life };
  await deps.ephemera.put(bearerKey('authorization_code', code.reveal()), JSON.stringify(kept), life);
  return code;
}

export function readCode(text: string): AuthorizationCode {
  return JSON.parse(text) as AuthorizationCode;
}
