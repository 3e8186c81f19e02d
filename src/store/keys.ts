import { hash } from 'node:crypto';

/** Every kind of Ephemera key, and what it is for. */
export const ephemeraKinds = {
  run_credential: 'forwarder → server credential of a run, by hash',
  proof_replay: 'agent proof jti, once',
  claim_code: 'code a person types to claim an agent',
  claim_tries: 'wrong claim codes, counted',
  rate: 'a rate counter',
  lease: 'one holder of a piece of work',
  oauth_state: 'upstream state → flow',
  upstream_sign_in: 'upstream state → sign-in that went there, sealed',
  held_upstream: 'an upstream identity provider, sealed, while a person is asked about it',
  held_client: 'a client at a provider, sealed, while a person is asked about it',
  device_sign_in: 'command-line sign-in waiting for a person',
  authorization_request: 'an authorization request waiting for its person, sealed',
  pushed_request: 'pushed authorization request, by hash, sealed',
  account_choice: 'the session that a person chose for an authorization request',
  authorization_code: 'authorization code, by hash',
  device_code: 'a device waiting for its person: request, answer, what was typed',
  client_document: 'the document that describes a client, as it was fetched',
  client_keys: 'keys of a client as its jwks_uri had them',
  client_keys_renewed: 'they were fetched again before their time, once a minute',
  registration_used: 'a client that registered itself was used, once an hour',
  assertion_replay: 'client assertion jti, once',
  trusted_assertion_replay: 'assertion of a trusted issuer, once',
  trusted_keys: 'keys of a trusted issuer as it published them',
  trusted_keys_renewed: 'they were fetched again before their time, once a minute',
  dpop_replay: 'DPoP proof jti, once for each URL',
  setup_link: 'first-administrator link',
} as const;

export type EphemeraKind = keyof typeof ephemeraKinds;

/** The key of a kind; `parts` are public names. Bearer values go through `bearerKey`. */
export function ephemeraKey(kind: EphemeraKind, ...parts: readonly string[]): string {
  return [kind, ...parts.map(encodeURIComponent)].join(':');
}

/** The key of a kind that is found by a bearer value: only its hash is stored. */
export function bearerKey(kind: EphemeraKind, bearer: string): string {
  return ephemeraKey(kind, sha256(bearer));
}

/** SHA-256 in hexadecimal: how bearer values rest. */
export function sha256(value: string | Uint8Array): string {
  return hash('sha256', value, 'hex');
}
