import { type Connect, type Connection, hostsAt, type Provider } from '#connect';
import type { Agent, Identity } from '#identity';
import { Fault } from '#kernel';
import type { Interception } from './authority.ts';
import type { Providers } from './catalogue.ts';
import type { StartedRun, StartRun } from './contract.ts';
import type { Own } from './own.ts';
import { variablesFor } from './placeholders.ts';
import type { Runs } from './runs.ts';

interface Deps {
  readonly runs: Runs;
  readonly providers: Providers;
  readonly connect: Connect;
  readonly identity: Identity;
  readonly own: Own;
  readonly authorities: { of(organization: Agent['organization']): Promise<Interception> };
}

/** Starts a run and says everything that its forwarder needs. @throws {Fault} `connection_unknown`, `agent_not_active` */
export async function startRun(deps: Deps, agent: Agent, request: StartRun): Promise<StartedRun> {
  const { organization } = agent;
  const providers = await deps.providers.all(organization);
  const connections = await connectionsOf(deps, agent);
  assertChosen(request.connections, connections);
  const interception = await deps.authorities.of(organization);
  const { run, seed, credential, expiresAt } = await deps.runs.start(agent, request);
  const byId = new Map(providers.map((one) => [one.id, one]));
  return Object.freeze({
    run,
    organization,
    credential,
    credentialExpiresAt: expiresAt,
    authorityPem: interception.runCertificate(
      permittedNames(
        deps.own,
        providers.flatMap((one) => hostsOf(one, connections)),
      ),
    ),
    variables: variablesFor(seed, providers),
    connections: connections.map((one) => ({ provider: one.provider, name: one.name, hosts: addressesOf(one, byId.get(one.provider)) })),
  });
}

/** What a provider's hosts come to with these connections: below a tenant suffix only the names that their owners gave. */
function hostsOf(provider: Provider, connections: readonly Connection[]): readonly string[] {
  const own = connections.filter((one) => one.provider === provider.id).flatMap((one) => one.hosts);
  return provider.hosts.flatMap((entry) => hostsAt(entry, own));
}

function addressesOf({ hosts }: Connection, provider: Provider | undefined): readonly string[] {
  const entries = provider?.hosts ?? [];
  const all = entries.flatMap((entry) => hostsAt(entry, hosts).map((host) => (entry.port === 443 ? host : `${host}:${entry.port}`)));
  return [...new Set(all)];
}

/** SECURITY 12: hosts of connections and catalogue, never our own. A name of X.509 covers what is below it. */
function permittedNames(own: Own, hosts: readonly string[]): readonly string[] {
  const names = new Set(hosts.map((host) => (host.startsWith('*.') ? host.slice(2) : host)));
  const covered = (name: string) => {
    for (let dot = name.indexOf('.'); dot > 0; dot = name.indexOf('.', dot + 1)) if (names.has(name.slice(dot + 1))) return true;
    return false;
  };
  return [...names].filter((name) => !own.named(name) && !covered(name)).sort();
}

async function connectionsOf({ connect, identity }: Deps, agent: Agent): Promise<readonly Connection[]> {
  const vaults = await identity.vaultsOf(identity.principalOf(agent));
  const found: Connection[] = [];
  let cursor: string | undefined;
  do {
    const page = await connect.connections(agent.organization, vaults, { limit: 200, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.items.filter((one) => one.status.kind !== 'disconnected'));
    cursor = page.next;
  } while (cursor !== undefined);
  return found;
}

function assertChosen(chosen: StartRun['connections'], connections: readonly Connection[]): void {
  for (const [provider, name] of Object.entries(chosen)) {
    if (!connections.some((one) => one.provider === provider && one.name === name)) throw new Fault('connection_unknown');
  }
}
