import { newId, Secret, silentLog, systemClock, type VaultId } from '#kernel';
import type { Store } from '#store';
import { createVault, type Keyring, type Vault } from '#vault';
import { completeTestSetup, openPeople, type People } from './people.ts';
import type { TestStoreOptions } from './store.ts';

/** Text that databases like to change: cut, fold, trim, refuse. */
const awkward = ['a\u0000b', '\u0001\u0001', 'trailing  ', 'Ünïcode ☃ 🏛', '', 'it\'s \\ "quoted" %_', '\u{10ffff}'];

export interface Filled {
  readonly people: People;
  readonly vaults: readonly VaultId[];
  readonly count: number;
}

/** An installation with a person, awkward texts, and so many connections whose credentials are sealed. */
export async function openFilled(count: number, store: Omit<TestStoreOptions, 'clock'> = {}): Promise<Filled> {
  const people = await openPeople({ store });
  const { user } = (await completeTestSetup(people)).session;
  const { organization, clock } = people;
  const vaults = Array.from({ length: Math.max(1, Math.ceil(count / 1000)) }, () => newId('vlt', clock.now()));
  const shared = { organization_id: organization.id, created_at: clock.now(), version: 1 };
  await people.store.records.in(organization.id).write(async ({ db }) => {
    for (const id of vaults)
      await db
        .insertInto('vaults')
        .values({ ...shared, id, name: awkward[0] ?? '', owner_kind: 'user', owner_user_id: user.id })
        .execute();
    for (const [index, name] of awkward.entries())
      await db
        .insertInto('agents')
        .values({ ...agentRow(index, name), ...shared })
        .execute();
    await db
      .insertInto('spent_values')
      .values({ hash: 'x', kind: awkward[1] ?? '', made: awkward[2] ?? '', spent_at: 1, expires_at: Number.MAX_SAFE_INTEGER })
      .execute();
  });
  for (let from = 0; from < count; from += 500) await addConnections(people, vaults, from, Math.min(count, from + 500));
  return { people, vaults, count };
}

function agentRow(index: number, name: string) {
  return {
    id: newId('agt'),
    handle: `agent-${index}`,
    did: `did:key:${index}`,
    public_jwk_json: JSON.stringify({ name }),
    algorithm: 'EdDSA',
    status: 'claimed',
    owner_kind: null,
    owner_user_id: null,
    confirmed_at: null,
    registered_from: name,
    expires_at: index % 2 === 0 ? null : 2 ** 52 + index,
    epoch: 0,
  } as const;
}

/** What is sealed for a connection. */
export function credentialOf(index: number): string {
  return `credential ${index} ${awkward[index % awkward.length]}`;
}

function placeOf({ people, vaults }: Pick<Filled, 'people' | 'vaults'>, index: number) {
  const vault = vaults[index % vaults.length] as VaultId;
  return { organization: people.organization.id, vault, provider: 'example-api', kind: 'connection', name: `c${index}` } as const;
}

/** More connections, with numbers from `from` up to `to`. */
export async function addConnections(people: People, vaults: readonly VaultId[], from: number, to: number): Promise<void> {
  const { store, vault, organization, clock } = people;
  const indices = Array.from({ length: to - from }, (_, index) => from + index);
  const rows = indices.map((index) => ({
    id: newId('con', clock.now()),
    organization_id: organization.id,
    created_at: clock.now(),
    vault_id: vaults[index % vaults.length] as VaultId,
    provider_id: 'example-api',
    name: `c${index}`,
    live: 1 as const,
    is_default: 0,
    shared: index % 2,
    owner_user_id: null,
    kind: 'api_key',
    status_json: '{"kind":"connected"}',
    account_json: JSON.stringify({ id: awkward[index % awkward.length] }),
    scopes_json: '[]',
    pinned_json: '{}',
    expires_at: null,
    sealed_version: 1,
    pending_envelope: index % 100 === 0 ? Buffer.from([0, 255, index % 256]) : null,
    refresh_started_at: null,
    refreshed_at: null,
    forced_refresh_at: null,
    used_at: index,
    version: 1,
  }));
  await store.records.in(organization.id).write(({ db }) => db.insertInto('connections').values(rows).execute());
  await Promise.all(indices.map((index) => vault.seal(placeOf({ people, vaults }, index), new Secret(credentialOf(index)), 0)));
}

/** Opens every connection's credential in another store, with the keys of the installation; how many held what they should. */
export async function openAll(filled: Filled, store: Store, keyring: Keyring = filled.people.keyring): Promise<number> {
  const { records, sealed, changes } = store;
  const vault = await createVault({ records, sealed, changes, keyring, clock: systemClock, log: silentLog, settle: 0 });
  let good = 0;
  for (let from = 0; from < filled.count; from += 200) {
    const indices = Array.from({ length: Math.min(200, filled.count - from) }, (_, index) => from + index);
    good += (await Promise.all(indices.map((index) => opens(vault, filled, index)))).filter(Boolean).length;
  }
  await vault.close();
  return good;
}

async function opens(vault: Vault, filled: Filled, index: number): Promise<boolean> {
  return (await vault.open(placeOf(filled, index)))?.value.reveal() === credentialOf(index);
}
