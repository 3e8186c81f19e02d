import { Fault, type OrganizationId } from '#kernel';
import { ephemeraKey } from '#store';
import type { IssuerGround } from './deps.ts';

/** A document of a client, and how long it may be kept by what came with it; undefined: nothing was said. */
export interface Fetched {
  readonly value: unknown;
  /** Milliseconds. */
  readonly freshFor: number | undefined;
}

interface Limits {
  /** Bytes. */
  readonly limit: number;
  /** Also in the clear, where the operator opened the address. */
  readonly allowHttp?: boolean;
  /** Nobody here agreed to who asks for it: counted apart, so that no one whom we know waits for what strangers use up. */
  readonly stranger?: boolean;
}

const bounds = Object.freeze({
  timeout: 5_000,
  minute: 60_000,
  /** In a minute, for one organization, of strangers and of all others: from one host, and from all. */
  host: 30,
  all: 300,
});

/**
 * JSON that a client publishes: https, no redirects, 200 and nothing else, so many bytes and no more (RFC 8414 §6.2, CIMD §6).
 * @throws {Fault} `rate_limited`, `upstream_invalid`, and as `net.fetch`
 */
export async function fetchJson(
  deps: IssuerGround,
  organization: OrganizationId,
  url: string,
  { limit, allowHttp = false, stranger = false }: Limits,
): Promise<Fetched> {
  await countFetch(deps, [organization, stranger ? 'strangers' : 'known'], new URL(url).host);
  const { status, headers, body } = await deps.net.fetch(url, {
    headers: { accept: 'application/json' },
    timeout: bounds.timeout,
    limit,
    allowHttp,
  });
  if (status !== 200) throw new Fault('upstream_invalid', { detail: 'The answer is not 200' });
  if (!/^application\/([a-z0-9.+-]+\+)?json\s*(;|$)/i.test(headers['content-type'] ?? ''))
    throw new Fault('upstream_invalid', { detail: 'The answer is not JSON by its Content-Type' });
  return { value: parsed(body), freshFor: freshness(headers, deps.clock.now()) };
}

async function countFetch({ ephemera }: IssuerGround, whose: readonly string[], host: string): Promise<void> {
  const ofHost = await ephemera.bump(ephemeraKey('rate', 'client_fetch', ...whose, host.slice(0, 255)), bounds.minute);
  const ofAll = ofHost > bounds.host ? 0 : await ephemera.bump(ephemeraKey('rate', 'client_fetch', ...whose), bounds.minute);
  if (ofHost > bounds.host || ofAll > bounds.all) throw new Fault('rate_limited', { retryAfter: bounds.minute / 1000 });
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw new Fault('upstream_invalid', { detail: 'The answer is not JSON', cause });
  }
}

/** RFC 9111 §4.2.1, of a cache that is shared. */
export function freshness(headers: Readonly<Record<string, string>>, now: number): number | undefined {
  const directives = (headers['cache-control'] ?? '').toLowerCase();
  if (/(^|[\s,])(no-store|no-cache|private)\b/.test(directives)) return 0;
  const age = /^\d{1,9}$/.test(headers.age ?? '') ? Number(headers.age) : 0;
  const life = /(?:^|[\s,])s-maxage="?(\d{1,9})/.exec(directives)?.[1] ?? /(?:^|[\s,])max-age="?(\d{1,9})/.exec(directives)?.[1];
  if (life !== undefined) return Math.max(0, Number(life) - age) * 1000;
  if (headers.expires === undefined) return undefined;
  const until = Date.parse(headers.expires);
  return Number.isNaN(until) ? 0 : Math.max(0, until - now);
}
