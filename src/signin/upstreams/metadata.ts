import * as oauth from 'oauth4webapi';
import { type Clock, Fault, isFault } from '#kernel';
import { type Net, webFetch } from '#net';
import type { Upstream } from './contract.ts';
import { presets } from './presets.ts';

const minute = 60_000;
/** Read anew after this; what was read stays in use while that fails, for a day. */
const freshFor = 60 * minute;
const usableFor = 24 * 60 * minute;
/** After a failure nobody is sent there for a while, each time twice as long. */
const pauses = { first: 5_000, longest: 5 * minute };
const patience = 10_000;
/** How long a page waits for those of which nothing is known yet. */
export const metadataGlance = 250;
const most = 1_000;

/** What is known of one upstream, in this process. */
interface Known {
  server: oauth.AuthorizationServer | undefined;
  readAt: number;
  failures: number;
  pausedUntil: number;
  reading: { readonly work: Promise<oauth.AuthorizationServer>; readonly since: number } | undefined;
}

export interface Metadata {
  /** Where it is talked to. Waits only where nothing usable is known. @throws {Fault} `upstream_unreachable`, `upstream_unusable` */
  of(upstream: Upstream): Promise<oauth.AuthorizationServer>;
  /** Read anew, whatever is known. @throws {Fault} as `of` */
  read(upstream: Upstream): Promise<oauth.AuthorizationServer>;
  /** False while it is left in peace after a failure, and while it never answered and takes long to. */
  works(upstream: Upstream): boolean;
  /** Reads in the background what is not known or old. What is returned ends, well or not, with a first reading that begins now. */
  warm(upstream: Upstream): Promise<unknown> | undefined;
  /** What the network said of it elsewhere: a failure pauses it, an answer ends the pause. */
  heard(upstream: Upstream, failed: boolean): void;
}

/** The metadata of upstreams (OpenID Connect Discovery), cached, each with a breaker of its own. */
export function createMetadata(net: Net, clock: Clock): Metadata {
  const kept = new Map<string, Known>();

  function known(upstream: Upstream): Known {
    const key = `${upstream.id} ${upstream.version}`;
    const found = kept.get(key) ?? { server: undefined, readAt: 0, failures: 0, pausedUntil: 0, reading: undefined };
    kept.delete(key);
    if (kept.size >= most) kept.delete(kept.keys().next().value as string);
    kept.set(key, found);
    return found;
  }

  function failed(one: Known): void {
    one.pausedUntil = clock.now() + Math.min(pauses.first * 2 ** one.failures, pauses.longest);
    one.failures += 1;
  }

  function succeeded(one: Known): void {
    one.failures = 0;
    one.pausedUntil = 0;
  }

  function read(upstream: Upstream): Promise<oauth.AuthorizationServer> {
    const one = known(upstream);
    if (one.reading !== undefined) return one.reading.work;
    const work = discover(net, upstream)
      .then(
        (server) => {
          succeeded(one);
          one.server = server;
          one.readAt = clock.now();
          return server;
        },
        (error: unknown) => {
          failed(one);
          throw error;
        },
      )
      .finally(() => {
        one.reading = undefined;
      });
    one.reading = { work, since: clock.monotonic() };
    return work;
  }

  const isFresh = (one: Known) => one.server !== undefined && clock.now() - one.readAt < freshFor;
  const isPaused = (one: Known) => clock.now() < one.pausedUntil;

  const isSlow = ({ server, reading }: Known) =>
    server === undefined && reading !== undefined && clock.monotonic() - reading.since >= metadataGlance;

  function warm(upstream: Upstream): Promise<unknown> | undefined {
    const one = known(upstream);
    if (isFresh(one) || isPaused(one) || one.reading !== undefined) return undefined;
    const work = read(upstream).catch(() => undefined);
    return one.server === undefined ? work : undefined;
  }

  return Object.freeze({
    async of(upstream: Upstream) {
      const one = known(upstream);
      const usable = one.server !== undefined && clock.now() - one.readAt < usableFor ? one.server : undefined;
      if (usable === undefined && isPaused(one)) throw unreachable(upstream);
      if (usable === undefined) return read(upstream);
      if (!isFresh(one)) void warm(upstream);
      return usable;
    },
    read,
    works(upstream: Upstream) {
      const one = known(upstream);
      return !isPaused(one) && !isSlow(one);
    },
    warm,
    heard(upstream: Upstream, lost: boolean) {
      const one = known(upstream);
      if (lost) failed(one);
      else succeeded(one);
    },
  });
}

export function unreachable({ label }: Pick<Upstream, 'label'>, cause?: unknown): Fault {
  return new Fault('upstream_unreachable', {
    detail: `${label} cannot be reached right now`,
    hint: 'sign in another way, or try again in a minute',
    cause,
  });
}

/** What `oauth4webapi` needs for every exchange with an upstream. */
export function exchangeOptions(net: Net, timeout = patience) {
  return { [oauth.customFetch]: webFetch(net, timeout), [oauth.allowInsecureRequests]: true } as const;
}

async function discover(net: Net, upstream: Upstream): Promise<oauth.AuthorizationServer> {
  const preset = presets[upstream.kind];
  if (preset.protocol === 'oauth2') {
    const { authorization, token } = preset.endpoints(upstream.issuer);
    return {
      issuer: upstream.issuer,
      authorization_endpoint: authorization,
      token_endpoint: token,
      token_endpoint_auth_methods_supported: ['client_secret_post'],
    };
  }
  const issuer = new URL(upstream.issuer);
  try {
    const answer = await oauth.discoveryRequest(issuer, exchangeOptions(net));
    const server = await oauth.processDiscoveryResponse(issuer, answer);
    assertUsable(server, upstream);
    return server;
  } catch (error) {
    if (isFault(error, 'upstream_unusable')) throw error;
    if (isFault(error)) throw unreachable(upstream, error);
    throw new Fault('upstream_unusable', { detail: 'The discovery document of the provider cannot be used', cause: error });
  }
}

/** Metadata is the provider's word: where browsers are sent is held to the rule of the issuer itself. */
function assertUsable(server: oauth.AuthorizationServer, { issuer }: Upstream): void {
  const { authorization_endpoint: authorization, token_endpoint: token, jwks_uri: keys } = server;
  for (const url of [authorization, token, keys]) {
    if (url === undefined) throw new Fault('upstream_unusable', { detail: 'The discovery document lacks an endpoint or the keys' });
    const safe = URL.canParse(url) && (url.startsWith('https:') || (issuer.startsWith('http:') && url.startsWith('http:')));
    if (!safe) throw new Fault('upstream_unusable', { detail: 'The discovery document names an address that is not https' });
  }
}
