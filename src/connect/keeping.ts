import { Fault, isFault, type Secret } from '#kernel';
import { parseCredential, placeOf, type StoredCredential } from './connection.ts';
import { type ConnectionRow, connectionById, updateConnection } from './connections.sql.ts';
import type { ConnectDeps } from './deps.ts';
import { pendingLabel } from './labels.ts';

type Deps = Pick<ConnectDeps, 'records' | 'vault' | 'log'>;

/**
 * The credential of a connection. A newer one that still waits in the row comes before the one in the vault.
 * Undefined: there is none. @throws {Fault} `sealed_value_unreadable`
 */
export async function openCredential({ vault }: Deps, row: ConnectionRow): Promise<StoredCredential | undefined> {
  if (row.pending_envelope !== null) {
    return parseCredential(await vault.disclose(pendingLabel(row, row.sealed_version), row.pending_envelope));
  }
  const opened = await vault.open(placeOf(row));
  // A store that lost its last write still holds a refresh token that was used up: better none than that one.
  if (opened !== undefined && opened.version < row.sealed_version) throw new Fault('sealed_value_unreadable');
  return opened === undefined ? undefined : parseCredential(opened.value);
}

/** The version the next value at this place must have, whatever is there now. */
export async function nextVersion({ vault }: Deps, row: Parameters<typeof placeOf>[0]): Promise<number> {
  const place = placeOf(row);
  try {
    return ((await vault.open(place))?.version ?? 0) + 1;
  } catch (error) {
    if (!isFault(error, 'sealed_value_unreadable')) throw error;
    // What nobody can open is being replaced: nothing is lost with it.
    await vault.destroy(place);
    return 1;
  }
}

/**
 * Moves a credential that waits in its row into the vault (SECURITY 13). Any process may do it at any time, any number of
 * times; who comes late finds nothing to do. A crash in between leaves the row as the truth.
 */
export async function settle(deps: Deps, row: ConnectionRow): Promise<void> {
  let current: ConnectionRow | undefined = row;
  for (let round = 0; round < 5; round++) {
    if (current === undefined || current.pending_envelope === null || current.live === null) return;
    const value = await deps.vault.disclose(pendingLabel(current, current.sealed_version), current.pending_envelope);
    const change = await move(deps, current, value);
    const moved: ConnectionRow = current;
    const done = await deps.records.in(row.organization_id).write((tx) => updateConnection(tx, row.organization_id, moved, change));
    if (done && change.pending_envelope === null) return;
    current = await deps.records.in(row.organization_id).read((tx) => connectionById(tx, row.organization_id, row.id));
  }
  deps.log.warn('a credential still waits in its row', { connection: row.id });
}

/** Seals the value at its version; when another value is there, takes aim at the version after it. */
async function move(deps: Deps, row: ConnectionRow, value: Secret<string>) {
  const sealing = await deps.vault.seal(placeOf(row), value, row.sealed_version - 1);
  if (sealing.kind === 'sealed') return { pending_envelope: null };
  const there = await deps.vault.open(placeOf(row));
  if (there !== undefined && there.value.reveal() === value.reveal()) return { pending_envelope: null, sealed_version: there.version };
  const version = (there?.version ?? 0) + 1;
  return { sealed_version: version, pending_envelope: await deps.vault.enclose(pendingLabel(row, version), value) };
}
