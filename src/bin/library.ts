import type { Audit } from '#audit';
import { readSettings } from '#config';
import type { Connect, Connection } from '#connect';
import type { Identity } from '#identity';
import { Fault, type Log, type Principal, type Secret, silentLog, systemClock } from '#kernel';
import type { Policy } from '#policy';
import type { Vault } from '#vault';
import { createLibraryCalls, type LibraryCalls } from './library-calls.ts';
import { buildParts, type Parts } from './parts.ts';

export interface GatehouseOptions {
  /** Data folder; default `GATEHOUSE_HOME`, else `~/.gatehouse`. */
  readonly home?: string;
  /** Settings by their environment names; default the process's own environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly log?: Log;
}

export interface AccessToken {
  readonly value: Secret<string>;
  /** When it ends, milliseconds; undefined: does not. */
  readonly expiresAt: number | undefined;
}

/** The broker in process, for the owner's own code: what it hands out is the owner's. */
export interface Gatehouse {
  readonly connections: Pick<Connect, 'connections' | 'connection' | 'disconnect'> & {
    /**
     * The access token, or key, of a connection, refreshed when it must be. Recorded as `connection.revealed`.
     * @throws {Fault} `connection_unknown`, `needs_attention`, `refresh_failed`
     */
    accessToken(provider: string, options?: { readonly connection?: string }): Promise<AccessToken>;
  };
  /**
   * Calls a URL in the name of an agent, by its handle: decided by its permissions, injected and recorded. A refusal is
   * an answer of ours (`application/problem+json`). @throws {Fault} `agent_unknown`, `agent_not_active`
   */
  readonly call: LibraryCalls['call'];
  readonly providers: Pick<Connect, 'provider' | 'providers'>;
  readonly vault: Pick<Vault, 'keys'>;
  readonly identity: Identity;
  readonly policy: Policy;
  readonly audit: Audit;
  close(): Promise<void>;
}

/** Opens the installation in `home` and builds the same parts a server has, without listeners. */
export async function createGatehouse(options: GatehouseOptions = {}): Promise<Gatehouse> {
  const env = { ...(options.env ?? process.env), ...(options.home === undefined ? {} : { GATEHOUSE_HOME: options.home }) };
  const { settings } = readSettings({ env, aliases: true });
  const parts = await buildParts({ settings, env, dev: false, clock: systemClock, log: options.log ?? silentLog });
  const { connect, vault, identity, policy, audit } = parts;
  const calls = createLibraryCalls(parts);
  return Object.freeze({
    connections: Object.freeze({
      connections: connect.connections,
      connection: connect.connection,
      disconnect: connect.disconnect,
      accessToken: (provider: string, given: { readonly connection?: string } = {}) => accessToken(parts, provider, given.connection),
    }),
    call: calls.call,
    providers: Object.freeze({ provider: connect.provider, providers: connect.providers }),
    vault: Object.freeze({ keys: vault.keys }),
    identity,
    policy,
    audit,
    async close() {
      await calls.close();
      await parts.close();
    },
  });
}

async function accessToken(parts: Parts, provider: string, name: string | undefined): Promise<AccessToken> {
  const { connect, audit, store, signin, organization } = parts;
  const { principal } = await signin.localSession(organization.id);
  const connection = await choose(parts, principal, provider, name);
  const credential = await connect.fresh(principal, connection);
  const value = credential.parts.access_token ?? credential.parts.api_key ?? Object.values(credential.parts)[0];
  if (value === undefined) throw new Fault('credential_unavailable');
  await store.records.in(organization.id).write((tx) =>
    audit.record(tx, {
      name: 'connection.revealed',
      principal,
      connection: connection.id,
      fields: { provider, name: connection.name, to: 'library' },
    }),
  );
  return { value, expiresAt: credential.expiresAt };
}

async function choose({ connect, identity }: Parts, principal: Principal, provider: string, name: string | undefined): Promise<Connection> {
  const candidates = await connect.candidates(principal.organization, await identity.vaultsOf(principal), provider);
  const found = name === undefined ? candidates[0] : candidates.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Fault('connection_unknown');
  return found;
}
