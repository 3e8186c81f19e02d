declare const verified: unique symbol;

/** A redirect URI that is one of its client's. */
export type VerifiedRedirect = string & { readonly [verified]: true };

/** RFC 8252 §7.3: any port of these addresses. */
const loopback = /^http:\/\/(127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?=[/?]|$)/;

/** The URI without its port where it leads to this machine by address (RFC 8252 §7.3: any port). */
function withoutLoopbackPort(uri: string): string {
  return uri.replace(loopback, 'http://$1');
}

/** The same machine by name. Who registers it without a port, as programs do whose port the system chooses, may use any. */
const namedWithoutPort = /^http:\/\/localhost(?=[/?]|$)/;
const named = /^http:\/\/localhost(?::\d{1,5})?(?=[/?]|$)/;

/** The requested URI, if it is exactly one that was registered; only the port of this machine's own addresses is free. */
export function verifyRedirect(requested: string, registered: readonly string[]): VerifiedRedirect | undefined {
  return registered.some((one) => isSame(requested, one)) ? (requested as VerifiedRedirect) : undefined;
}

function isSame(requested: string, registered: string): boolean {
  if (requested === registered) return true;
  if (!URL.canParse(requested)) return false;
  if (namedWithoutPort.test(registered)) return requested.replace(named, 'http://localhost') === registered;
  return loopback.test(requested) && withoutLoopbackPort(requested) === withoutLoopbackPort(registered);
}

/** Schemes of programs whose makers took a word where RFC 8252 §7.1 has a domain name in reverse. Nobody else gets one. */
const knownSchemes: ReadonlySet<string> = new Set(['cursor:', 'vscode:', 'vscode-insiders:', 'windsurf:', 'zed:']);

/** Why a URI cannot be registered, or undefined (RFC 8252 §7, OAuth 2.1 §2.3). */
export function redirectFlaw(uri: string): string | undefined {
  if (uri.length > 2_000 || !/^[\x21-\x7e]+$/.test(uri) || !URL.canParse(uri)) return 'is not an absolute URI';
  if (uri.includes('#')) return 'has a fragment';
  if (/(^|[^:])\*/.test(uri)) return 'has a wildcard';
  const url = new URL(uri);
  if (url.username !== '' || url.password !== '') return 'has user information';
  if (url.protocol === 'https:') return undefined;
  if (url.protocol === 'http:') {
    return isLocal(uri) ? undefined : 'uses http, which is for loopback only';
  }
  return url.protocol.includes('.') || knownSchemes.has(url.protocol) ? undefined : 'has a scheme that is not a domain name in reverse';
}

/** The redirect leads to a program on this machine: loopback, or a scheme that programs register for themselves. */
export function isLocal(uri: string): boolean {
  const url = new URL(uri);
  if (url.protocol === 'https:') return false;
  return url.protocol !== 'http:' || ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
}

/** Host as a person is shown it, or the scheme. */
export function redirectHost(uri: string): string {
  const url = new URL(uri);
  return url.protocol === 'https:' || url.protocol === 'http:' ? url.hostname : url.protocol;
}

/** The source that `form-action` names for this URI. */
export function redirectSource(uri: string): string {
  const url = new URL(uri);
  // A source of this kind cannot name an IPv6 address.
  const named = url.protocol === 'https:' || (url.protocol === 'http:' && !url.hostname.startsWith('['));
  return named ? url.origin : url.protocol;
}
