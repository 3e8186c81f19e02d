import { type Actor, type Clock, Fault, newId, type OrganizationId, type Principal, type UserId, type VaultId } from '#kernel';
import type { GenerationCache, Records, Writing } from '#store';
import type { Vault } from '#vault';
import { boundVaults, type Holder, insertVault, type NewVault } from './vaults.sql.ts';

interface Making {
  readonly vault: Vault;
  readonly clock: Clock;
}

const everyone: Holder = { kind: 'everyone', id: '' };

/** The vault that everyone in the organization may use. */
export function makeTeamVault(deps: Making, tx: Writing, organization: OrganizationId): Promise<void> {
  return makeVault(deps, tx, { organization, name: 'team', owner: undefined }, everyone);
}

/** A person's own vault, their default. */
export function makeOwnVault(deps: Making, tx: Writing, organization: OrganizationId, user: UserId): Promise<void> {
  return makeVault(deps, tx, { organization, name: 'own', owner: user }, { kind: 'user', id: user });
}

/** Row, binding and data key in the caller's transaction: a vault never stands without its key. */
async function makeVault(deps: Making, tx: Writing, vault: Omit<NewVault, 'id'>, holder: Holder): Promise<void> {
  const now = deps.clock.now();
  const id = newId('vlt', now);
  await insertVault(tx, { ...vault, id }, holder, holder.kind !== 'everyone', now);
  await deps.vault.prepare(tx, { kind: 'vault', organization: vault.organization, vault: id });
}

/** Vaults that a principal may use, from a cache kept by generation. */
export function createVaultAccess(records: Records, cache: GenerationCache<readonly { vault: VaultId; isDefault: boolean }[]>) {
  function bound(organization: OrganizationId, holders: readonly Holder[]) {
    const key = [organization, ...holders.map((holder) => `${holder.kind}:${holder.id}`)].join(' ');
    return cache.get(key, () => records.in(organization).read((tx) => boundVaults(tx, organization, holders)));
  }

  return {
    /** Those of the party acted for, those bound to the current actor, and everyone's. */
    async vaultsOf(principal: Principal): Promise<readonly VaultId[]> {
      const parties = [principal.subject, ...principal.actors.slice(0, 1)];
      const found = await bound(principal.organization, [...parties.flatMap(holderOf), everyone]);
      return [...new Set((found ?? []).map(({ vault }) => vault))];
    },

    /** The default of a user or agent; without one, the vault of everyone. */
    async defaultVault(organization: OrganizationId, holders: readonly Actor[]): Promise<VaultId> {
      const own = (await bound(organization, [...holders.flatMap(holderOf), everyone])) ?? [];
      const chosen = own.find(({ isDefault }) => isDefault) ?? own[0];
      if (chosen === undefined) throw new Fault('not_found');
      return chosen.vault;
    },
  };
}

function holderOf(actor: Actor): readonly Holder[] {
  return actor.kind === 'user' || actor.kind === 'agent' ? [{ kind: actor.kind, id: actor.id }] : [];
}
