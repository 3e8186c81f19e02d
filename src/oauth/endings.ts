import { createHash } from 'node:crypto';

/** What an access token of ours hangs on, in the words that say that it ended. */
export const parent = Object.freeze({
  token: (jti: string) => jti,
  grant: (id: string) => id,
  client: (id: string) => id,
  /** Of a person by epoch: what is made for them afterwards stands. */
  user: (id: string, epoch: number) => `${id}/${epoch}`,
});

/** The claims of an access token that name what it hangs on. */
export interface Descent {
  readonly jti: string;
  readonly client_id: string;
  readonly sub: string;
  readonly grant_id?: string | undefined;
  /** Access tokens that it was made from, by `jti`, and their clients. */
  readonly parents?: readonly string[] | undefined;
  readonly parent_clients?: readonly string[] | undefined;
  /** Of the organization, and of the person where there is one. */
  readonly epochs: readonly number[];
}

/** Everything that can end a token, but for its organization: that has an epoch of its own, the first of `epochs`. */
export function parentsOf({ jti, client_id, sub, grant_id, parents = [], parent_clients = [], epochs }: Descent): readonly string[] {
  const [, user] = epochs;
  return [
    ...[jti, ...parents].map(parent.token),
    ...[client_id, ...parent_clients].map(parent.client),
    ...(grant_id === undefined ? [] : [parent.grant(grant_id)]),
    ...(user === undefined ? [] : [parent.user(sub, user)]),
  ];
}

/**
 * How the end of a parent is published: 128 bits of its SHA-256. Whoever holds a token finds its parents; the list
 * names nobody.
 */
export function endingName(parent: string): string {
  return createHash('sha256').update(parent).digest().subarray(0, 16).toString('base64url');
}
