import type { Audit } from '#audit';
import type { Connect } from '#connect';
import type { Identity } from '#identity';
import type { Clock, Log } from '#kernel';
import type { Policy } from '#policy';
import type { Changes, Ephemera, Records } from '#store';
import type { Vault } from '#vault';
import { admit } from './admit.ts';
import { createAuthorities } from './authority.ts';
import { createProviders } from './catalogue.ts';
import type { Broker } from './contract.ts';
import { createDecider } from './decide.ts';
import { createExchanges } from './exchanges.ts';
import { foresee } from './foresee.ts';
import { createOwn } from './own.ts';
import { createPlaces } from './places.ts';
import { runQueries } from './runs.sql.ts';
import { createRuns } from './runs.ts';
import { startRun } from './start.ts';

export interface BrokerDeps {
  readonly records: Records;
  readonly ephemera: Ephemera;
  readonly changes: Changes;
  readonly identity: Identity;
  readonly vault: Vault;
  readonly policy: Policy;
  readonly connect: Connect;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  readonly publicUrl: string;
  /** Our own names (`name`, every port) and listeners (`name:port`): never reached through the proxy. */
  readonly ownHosts: readonly string[];
  /** Hosts without a connection. */
  readonly otherHosts: 'blind' | 'deny';
  /** Host → extra authorities for it, PEM, handed on with each verdict; where net knows them already, none. */
  readonly authorities?: Readonly<Record<string, readonly string[]>>;
}

/** Builds the room. */
export function createBroker(deps: BrokerDeps): Broker {
  const { connect, changes, audit, policy, clock, log, vault } = deps;
  const queries = runQueries(deps.records);
  const own = createOwn(deps.publicUrl, deps.ownHosts);
  const providers = createProviders(connect, changes);
  const authorities = createAuthorities({ queries, vault, clock });
  const runs = createRuns({ ...deps, queries });
  const places = createPlaces({ ...deps, providers });
  const exchanges = createExchanges({ runs, places, policy, audit, changes, clock, log });
  const decider = createDecider({ ...deps, runs, places, providers, exchanges, own, authorities: deps.authorities ?? {} });

  return Object.freeze({
    startRun: (agent, request) => startRun({ ...deps, runs, providers, own, authorities }, agent, request),
    renewRun: runs.renew,
    endRun: runs.end,
    runs: runs.list,
    authenticateRun: async (credential) => (await runs.authenticate(credential)).live,
    carriedRun: async ({ organization, id }) => (await runs.carried(organization, id)).live,
    admit: (run, target) => admit({ ...deps, runs, places, own }, run, target),
    decide: decider.decide,
    foresee: (supposed) => foresee({ ...deps, places, own, judge: decider.judge }, supposed),
    rejudge: decider.rejudge,
    renew: decider.renew,
    report: exchanges.report,
    tunnel: exchanges.tunnel,
    ended: exchanges.ended,
    authority: authorities.of,
    async close() {
      exchanges.close();
      providers.close();
    },
  } satisfies Broker);
}
