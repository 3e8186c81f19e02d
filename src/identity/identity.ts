import type { Audit } from '#audit';
import type { Actor, Clock, Log, OrganizationId, Principal } from '#kernel';
import { type Changes, cacheByGeneration, type Ephemera, pageOf, type Records } from '#store';
import type { Vault } from '#vault';
import { agentOf, isExpired, principalOf } from './agent-view.ts';
import { agentBy, agentsPage } from './agents.sql.ts';
import { acceptClaim, claimState, offerClaim, typeClaim, withdraw } from './claim.ts';
import type { Agent, Identity, ListQuery, UserEnds } from './contract.ts';
import { createDirectory } from './directory.ts';
import { emailKeyOf } from './email.ts';
import { endExpired, enrol } from './enrol.ts';
import { acceptInvitation, invitation, invitations, invite, withdrawInvitation } from './invitations.ts';
import { createOrganization, defaultOrganization, ensureDefaultOrganization, organizationsOf } from './organizations.ts';
import { pageStart } from './page.ts';
import { prove } from './prove.ts';
import { confirmAgent, reactivate, revoke, suspend } from './standing.ts';
import { activeOwners, passwordHashOf, userByKey, userOf, usersPage } from './users.sql.ts';
import { createUser, setPassword, suspendUser } from './users.ts';
import type { boundVaults } from './vaults.sql.ts';
import { createVaultAccess } from './vaults.ts';

export interface IdentityDeps {
  readonly records: Records;
  readonly ephemera: Ephemera;
  readonly changes: Changes;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who exists, what they hold, how an agent proves itself. */
export function createIdentity(given: IdentityDeps): Identity {
  const { records, changes, clock } = given;
  const directory = createDirectory(records, changes, clock);
  const userEnds = new Set<UserEnds>();
  const deps = { ...given, directory, userEnds };
  const bindings = cacheByGeneration<Awaited<ReturnType<typeof boundVaults>>>(changes, 'identity', 20_000);
  const access = createVaultAccess(records, bindings);

  async function living(organization: OrganizationId, column: 'id' | 'handle', value: string): Promise<Agent | undefined> {
    const row = await records.in(organization).read((tx) => agentBy(tx, organization, column, value));
    const agent = row === undefined ? undefined : agentOf(row);
    return agent === undefined || isExpired(agent, clock.now()) ? undefined : agent;
  }

  async function agents(organization: OrganizationId, query: ListQuery) {
    const start = pageStart(query);
    const rows = await records.in(organization).read((tx) => agentsPage(tx, organization, start));
    const listing = pageOf(rows, start.limit, agentOf);
    return { ...listing, items: listing.items.filter((agent) => !isExpired(agent, clock.now())) };
  }

  async function users(organization: OrganizationId, query: ListQuery) {
    const start = pageStart(query);
    return pageOf(await records.in(organization).read((tx) => usersPage(tx, organization, start)), start.limit, userOf);
  }

  async function defaultVault(organization: OrganizationId, who: Actor) {
    const agent = who.kind === 'agent' ? await directory.agent(organization, who.id) : undefined;
    const owner: readonly Actor[] = agent === undefined ? [] : [principalOf(agent.agent).subject];
    return access.defaultVault(organization, [who, ...owner]);
  }

  return Object.freeze({
    ensureDefaultOrganization: (issuer) => ensureDefaultOrganization(deps, issuer),
    invite: (tx, by, draft) => invite(deps, tx, by, draft),
    invitation: (organization, token) => invitation(deps, organization, token),
    invitations: (organization, query) => invitations(deps, organization, query),
    acceptInvitation: (tx, organization, person) => acceptInvitation(deps, tx, organization, person),
    withdrawInvitation: (by, id) => withdrawInvitation(deps, by, id),
    createOrganization: (organization) => createOrganization(deps, organization),
    organizations: (query) => organizationsOf(records, query),
    defaultOrganization: () => defaultOrganization(records),
    organization: (id) => directory.organization(id),
    organizationBySlug: (slug) => directory.organizationBySlug(slug),
    prove: (proof, options) => prove(deps, proof, options?.allow ?? ['active']),
    enrol: (enrolment) => enrol(deps, enrolment),
    agent: (organization, id) => living(organization, 'id', id),
    agentByHandle: (organization, handle) => living(organization, 'handle', handle),
    agents,
    currentAgent: async (organization, id) => (await directory.agent(organization, id))?.agent,
    offerClaim: (agent, host, address) => offerClaim(deps, agent, host, address),
    claimState: (agent) => claimState(deps, agent),
    typeClaim: (user, code) => typeClaim(deps, user, code),
    acceptClaim: (agent) => acceptClaim(deps, agent),
    refuseClaim: (agent) => withdraw(deps, agent),
    confirmAgent: (tx, by, id) => confirmAgent(deps, tx, by, id),
    suspend: (by, id) => suspend(deps, by, id),
    reactivate: (tx, by, id) => reactivate(deps, tx, by, id),
    revoke: (by, id) => revoke(deps, by, id),
    users,
    user: (organization, id) => directory.user(organization, id),
    async userByEmail(organization, email) {
      const row = await records.in(organization).read((tx) => userByKey(tx, organization, emailKeyOf(email)));
      return row === undefined ? undefined : userOf(row);
    },
    async owner(organization) {
      const [first] = await records.in(organization).read((tx) => activeOwners(tx, organization));
      return first === undefined ? undefined : userOf(first);
    },
    createUser: (tx, user) => createUser(deps, tx, user),
    suspendUser: (by, id) => suspendUser(deps, by, id),
    whenUserEnds: (listener) => watching(userEnds, listener),
    passwordHash: (organization, id) => records.in(organization).read((tx) => passwordHashOf(tx, organization, id)),
    setPassword: (tx, by, id, hash) => setPassword(deps, tx, by, id, hash),
    defaultVault,
    vaultsOf: (principal: Principal) => access.vaultsOf(principal),
    principalOf,
    sweep: () => records.platform('unclaimed agents of every organization').write((tx) => endExpired(deps, tx, undefined)),
    async close() {
      directory.close();
      bindings.close();
    },
  } satisfies Identity);
}

function watching<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
