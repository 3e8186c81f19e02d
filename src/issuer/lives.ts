import { lifeBounds } from '#api';

const second = 1_000;
const minute = 60 * second;
const day = 24 * 60 * minute;

/**
 * How long everything lives that nobody sets, in milliseconds; what can be set is in `lifeBounds` of the contract, and asked of
 * `lifetimes`.
 */
export const lives = Object.freeze({
  /** An authorization request that waits for its person. */
  request: 30 * minute,
  /** The longest that a device code may be set to live. */
  longestDeviceCode: lifeBounds.device_code.most * second,
  /** A question to a person elsewhere, unless its client asks for another life. */
  backchannelRequest: 5 * minute,
  backchannelShortest: 30 * second,
  backchannelLongest: 30 * minute,
  /** Of a session at most, whatever the setting. */
  session: 90 * day,
  logoutToken: 2 * minute,
  /** The longest that an access token or an ID token may be set to live. */
  longestToken: Math.max(lifeBounds.access_token.most, lifeBounds.id_token.most) * second,
  /** The longest that a refresh token may lie unused. */
  longestRefreshIdle: lifeBounds.refresh_idle.most * second,
  /** The stored answer for a client that lost it. */
  grace: 30 * second,
  /** A signed request object at most. */
  requestObject: 60 * minute,
  /** A client assertion at most. */
  assertion: 5 * minute,
  /** The mark of a used one, from then on: no clock that accepts it is further from its end. */
  assertionRemembered: 8 * minute,
  /** A nonce for DPoP proofs is followed by the next; the one before is taken as long again. */
  dpopNonce: 3 * minute,
  /** An assertion of a trusted issuer at most. */
  trustedAssertion: 60 * minute,
  /** How far clocks may differ. */
  skew: 60 * second,
  /** What is dead is removed so much later: the server that removes it may be ahead of the others. */
  kept: 60 * minute,
  /** A new key is published so long before it signs. */
  keyLead: 10 * minute,
  /** A key signs so long before the next one is due. */
  keySigns: 90 * day,
  /** For how long others may keep the key set; shorter than `keyLead`. */
  keySetCache: 5 * minute,
  /** A client that registered itself and was never used. */
  registration: 7 * day,
  /** The same from its last use on: longer than anything it may have been given. */
  usedRegistration: 100 * day,
});

/** When the last access token has ended that could be made until now, on any replica. */
export function longestUntil(now: number): number {
  return now + lives.longestToken + lives.skew;
}
