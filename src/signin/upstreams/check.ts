import type * as oauth from 'oauth4webapi';
import { isFault } from '#kernel';
import { webFetch } from '#net';
import type { UpstreamCheck } from './contract.ts';
import { clientOf } from './credentials.ts';
import type { UpstreamDeps } from './deps.ts';
import { presets } from './presets.ts';
import type { Kept } from './registry.ts';

const patience = 10_000;

/** Looks at everything that can be looked at without a person: metadata, keys, and whether our client can be made ready. */
export async function testUpstream(deps: UpstreamDeps, kept: Kept): Promise<readonly UpstreamCheck[]> {
  const { upstream, envelope } = kept;
  const found = await look('metadata', 'it is reached, and names its endpoints', () => deps.metadata.read(upstream));
  const server = found.value;
  if (server === undefined) return [found.check];
  const client = await look('client', 'it opens, and proves itself', () => clientOf(deps, upstream, envelope, server));
  if (presets[upstream.kind].protocol === 'oauth2') return [found.check, client.check];
  const keys = await look('keys', 'they are there', () => keysOf(deps, server));
  return [found.check, keys.check, client.check];
}

async function look<T>(what: UpstreamCheck['what'], tells: string, work: () => Promise<T>): Promise<{ check: UpstreamCheck; value?: T }> {
  try {
    const value = await work();
    return { check: { what, holds: true, tells }, value };
  } catch (error) {
    const told = isFault(error) ? (error.details.detail ?? error.row.title) : 'it cannot be used';
    return { check: { what, holds: false, tells: told } };
  }
}

async function keysOf({ net }: UpstreamDeps, server: oauth.AuthorizationServer): Promise<void> {
  const answer = await webFetch(net, patience)(server.jwks_uri ?? '', { method: 'GET', headers: { accept: 'application/json' } });
  const { keys } = (await answer.json()) as { readonly keys?: unknown };
  if (answer.status !== 200 || !Array.isArray(keys) || keys.length === 0) throw new TypeError('no keys');
}
