import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { Fault } from '#kernel';

const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Which `Host` names and origins are this server's own (SECURITY 25). */
export interface Hosts {
  /** Refuses a `Host` that is not ours: another site that made its name point here. @throws {Fault} `host_unknown` */
  check(host: string | undefined): void;
  /** Refuses what a page of another site sent, or our own over plain http where the public URL is https. @throws {Fault} `origin_refused` */
  checkOrigin(headers: IncomingHttpHeaders): void;
  /** Refuses an unsafe request by cookie unless the browser says that our own page sent it. @throws {Fault} `origin_refused` */
  checkSameSite(headers: IncomingHttpHeaders): void;
  /** The full URLs by which a request may have been signed: the public one, and the name we were called by. */
  targets(host: string | undefined, path: string, encrypted: boolean): readonly string[];
  /** Whether people and programs reach this server only on this machine. */
  readonly loopbackOnly: boolean;
}

export function createHosts(publicUrl: string, more: readonly string[]): Hosts {
  const own = new URL(publicUrl);
  const exact = new Set([own.host, own.hostname, ...more].map((name) => name.toLowerCase()));
  const ours = (host: string) => exact.has(host) || exact.has(nameOf(host)) || loopbackNames.has(nameOf(host));

  return Object.freeze({
    check(host: string | undefined) {
      if (host === undefined || !ours(host.toLowerCase())) throw new Fault('host_unknown');
    },
    checkOrigin({ origin, host }: IncomingHttpHeaders) {
      if (origin === undefined || origin === own.origin) return;
      // Another port of this machine is another site, so the origin must be the public one or the very name we were called by.
      if (hostOf(origin) !== host?.toLowerCase()) throw new Fault('origin_refused');
      if (own.protocol === 'https:' && !origin.startsWith('https:')) throw overPlainHttp(own.origin);
    },
    checkSameSite(headers: IncomingHttpHeaders) {
      const site = headers['sec-fetch-site'];
      if (site !== undefined && site !== 'same-origin') throw new Fault('origin_refused');
      if (site === undefined && headers.origin === undefined) throw new Fault('origin_refused');
    },
    targets(host: string | undefined, path: string, encrypted: boolean) {
      const named = host === undefined ? [] : [`${encrypted ? 'https' : 'http'}://${host.toLowerCase()}${path}`];
      return [`${publicUrl}${path}`, ...named].filter((url) => URL.canParse(url)).map(plain);
    },
    loopbackOnly: loopbackNames.has(own.hostname),
  });
}

/**
 * A browser keeps a session that it is given at http://localhost, whatever the cookie asks for, and sends it to every port there
 * (RFC 6265 §8.5); what the public URL promises of it would not hold.
 */
function overPlainHttp(publicOrigin: string): Fault {
  return new Fault('origin_refused', { detail: 'The page was opened over plain http', hint: `open ${publicOrigin}` });
}

/** As a signer writes it: no default port, no fragment. */
function plain(url: string): string {
  const { origin, pathname, search } = new URL(url);
  return origin + pathname + search;
}

/** The host of an http origin; undefined for `null` and every other kind. */
function hostOf(origin: string): string | undefined {
  return /^https?:\/\//.test(origin) && URL.canParse(origin) ? new URL(origin).host : undefined;
}

function nameOf(host: string): string {
  return host.replace(/:\d+$/, '');
}

/** Whether a peer's address is this machine itself. */
export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  return (isIP(plain) === 4 && plain.startsWith('127.')) || plain === '::1';
}
