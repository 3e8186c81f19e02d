import type { Net } from '#net';
import type { Ephemera } from '#store';
import type { Vault } from '#vault';
import type { SessionDeps } from '../sessions.ts';
import type { PlatformClients } from './contract.ts';
import type { Metadata } from './metadata.ts';
import type { Registry } from './registry.ts';

/** What the registry of upstreams stands on. */
export interface UpstreamGround extends SessionDeps {
  readonly ephemera: Ephemera;
  readonly vault: Vault;
  readonly net: Net;
  /** Where browsers reach us, without a slash at the end. */
  readonly publicUrl: string;
  readonly platformClients: PlatformClients;
}

/** What signing in through one works with. */
export interface UpstreamDeps extends UpstreamGround {
  readonly metadata: Metadata;
  readonly registry: Registry;
}
