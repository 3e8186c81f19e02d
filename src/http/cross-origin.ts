/**
 * What scripts of any site may read of an answer (Fetch §3.2, RFC 10017). Nothing here goes by a cookie, and no credentials of the
 * browser's own are ever allowed, so it does not matter whose script it is.
 */
export const crossOrigin: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'DPoP-Nonce, WWW-Authenticate, Retry-After',
};

/** What a script may send, told before it does. */
export function preflight(methods: readonly string[]): Readonly<Record<string, string>> {
  return {
    'access-control-allow-methods': methods.join(', '),
    'access-control-allow-headers': 'Authorization, Content-Type, DPoP',
    'access-control-max-age': '3600',
  };
}
