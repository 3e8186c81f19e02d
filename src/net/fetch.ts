import type { Socket } from 'node:net';
import type { Client, Dispatcher } from 'undici';
import { Fault, type FaultCode } from '#kernel';
import { parseIpv4 } from './addresses.ts';
import { decoded } from './body.ts';
import type { GuardedAnswer, GuardedRequest } from './contract.ts';

/** What a fetch needs from the rest of the room: a connected, judged socket for a URL. */
export interface Ways {
  opened(host: string, port: number): boolean;
  connect(url: URL, request: GuardedRequest, timeout: number, signal: AbortSignal): Promise<Socket>;
}

interface Leg {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | undefined;
}

const redirecting = new Set([301, 302, 303, 307, 308]);

/** One exchange and the redirects it may follow, all under one deadline. */
export async function guardedFetch(ways: Ways, address: string, request: GuardedRequest): Promise<GuardedAnswer> {
  const deadline = AbortSignal.timeout(request.timeout);
  const signal = request.signal ? AbortSignal.any([request.signal, deadline]) : deadline;
  const ends = performance.now() + request.timeout;
  let leg: Leg = {
    url: target(address),
    method: request.method ?? 'GET',
    headers: request.headers ?? {},
    body: request.body,
  };
  let redirects = request.redirects ?? 0;
  for (;;) {
    allowScheme(ways, leg.url, request);
    const left = Math.max(1, ends - performance.now());
    const answer = await once(ways, leg, request, left, signal).catch((error: unknown) => {
      throw faultOf(error, deadline);
    });
    const location = redirecting.has(answer.status) ? answer.headers.location : undefined;
    if (location === undefined || !request.redirects) return answer;
    if (redirects-- === 0) throw new Fault('upstream_invalid', { detail: 'The upstream redirected too often' });
    leg = redirected(leg, answer.status, location);
  }
}

/** Strict: no credentials in it, and a host spelled plainly, as `URL` would turn `0x7f.1` into an address unseen. */
function target(address: string, base?: URL): URL {
  const url = URL.canParse(address, base?.href) ? new URL(address, base?.href) : undefined;
  const usable = url && (url.protocol === 'https:' || url.protocol === 'http:') && url.username === '' && url.password === '';
  if (!usable) throw new Fault('address_refused', { detail: 'The URL is not a plain http or https URL' });
  if (parseIpv4(url.hostname) && !address.includes(url.hostname) && base?.hostname !== url.hostname) {
    throw new Fault('address_refused', { detail: 'The host is not a plain name or address' });
  }
  return url;
}

function allowScheme(ways: Ways, url: URL, request: GuardedRequest): void {
  if (url.protocol === 'https:') return;
  if (request.allowHttp && ways.opened(url.hostname, portOf(url))) return;
  throw new Fault('address_refused', { detail: 'Only https is allowed', hint: 'use an https URL' });
}

export function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** RFC 9110 §15.4. Nothing that may hold a credential goes to another origin. */
function redirected(leg: Leg, status: number, location: string): Leg {
  const url = target(location, leg.url);
  const same = url.origin === leg.url.origin;
  const keeps = status === 307 || status === 308;
  if (keeps && leg.body !== undefined && !same) {
    throw new Fault('upstream_invalid', { detail: 'The upstream redirected a request with a body to another origin' });
  }
  if (leg.url.protocol === 'https:' && url.protocol !== 'https:') {
    throw new Fault('upstream_invalid', { detail: 'The upstream redirected to clear text' });
  }
  const toGet = !keeps && (status === 303 ? leg.method !== 'HEAD' : leg.method === 'POST');
  const kept = Object.entries(leg.headers).filter(([name]) => same || /^(accept|accept-language|user-agent)$/i.test(name));
  return {
    url,
    method: toGet ? 'GET' : leg.method,
    headers: Object.fromEntries(toGet ? kept.filter(([name]) => !/^content-/i.test(name)) : kept),
    body: toGet ? undefined : leg.body,
  };
}

async function once(ways: Ways, leg: Leg, request: GuardedRequest, timeout: number, signal: AbortSignal): Promise<GuardedAnswer> {
  signal.throwIfAborted();
  // Loaded by the first fetch: a server starts without one.
  const undici = await import('undici');
  const socket = await ways.connect(leg.url, request, timeout, signal);
  const client = new undici.Client(leg.url.origin, {
    // Not at once: undici forgets the request when its connector answers before it returns.
    connect: (_options: unknown, callback: (error: null, socket: Socket) => void) => queueMicrotask(() => callback(null, socket)),
    allowH2: false,
    pipelining: 1,
    maxHeaderSize: 32_768,
    headersTimeout: Math.ceil(timeout),
    bodyTimeout: Math.ceil(timeout),
  } as Client.Options);
  try {
    const answer = await client.request({
      method: leg.method as Dispatcher.HttpMethod,
      path: `${leg.url.pathname}${leg.url.search}`,
      headers: { 'user-agent': 'gatehouse', 'accept-encoding': 'gzip', ...lower(leg.headers) },
      ...(leg.body === undefined ? {} : { body: leg.body }),
      signal,
    });
    const headers = joined(answer.headers);
    const body = await decoded(answer.body, headers['content-encoding'], request.limit, signal);
    return { status: answer.statusCode, headers, body };
  } finally {
    socket.destroy();
    void client.destroy();
  }
}

function lower(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function joined(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) plain[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value;
  }
  return plain;
}

/** What undici throws, by name. */
const codes: Readonly<Record<string, FaultCode>> = {
  HeadersTimeoutError: 'upstream_timeout',
  BodyTimeoutError: 'upstream_timeout',
  AbortError: 'cancelled',
  HTTPParserError: 'upstream_invalid',
  HeadersOverflowError: 'upstream_invalid',
};

function faultOf(error: unknown, deadline: AbortSignal): Fault {
  if (deadline.aborted) return new Fault('upstream_timeout', { cause: error });
  if (error instanceof Fault) return error;
  const name = error instanceof Error ? error.name : '';
  return new Fault(codes[name] ?? 'upstream_unreachable', { cause: error });
}
