import type { OrganizationId, Secret, VaultId } from '#kernel';
import type { Writing } from '#store';

/** Whose data key seals. */
export type Owner =
  | { readonly kind: 'vault'; readonly organization: OrganizationId; readonly vault: VaultId }
  | { readonly kind: 'organization'; readonly organization: OrganizationId }
  | { readonly kind: 'platform' };

/** Where a stored value lives. `provider`, `kind` and `name` match `[a-z0-9][a-z0-9._-]{0,63}` (SECURITY 19). */
export interface Place {
  readonly organization: OrganizationId;
  readonly vault: VaultId;
  readonly provider: string;
  readonly kind: 'connection' | 'client' | 'secret';
  readonly name: string;
}

/** What one sealed column is: associated data, length-prefixed, so that a moved envelope does not open. */
export interface Label {
  readonly owner: Owner;
  /** Table, column and row id, or any other whole key without prefix: `authorities/key/org_…`. */
  readonly key: string;
  /** The sealed value's own version, carried in its envelope. */
  readonly version: number;
}

export interface Opened {
  readonly value: Secret<string>;
  readonly version: number;
}

export type Sealing = { readonly kind: 'sealed'; readonly version: number } | { readonly kind: 'conflict' };

export interface MasterKeyFact {
  readonly id: string;
  readonly use: 'current' | 'old';
  /** Data keys still wrapped with it. */
  readonly wraps: number;
}

export interface RotationProgress {
  /** Data keys wrapped or replaced, and values looked at, so far. */
  readonly done: number;
  readonly total: number;
  /** Values sealed again under new data keys. */
  readonly resealed: number;
  /** Values that did not open and stay as they are; the log names them. */
  readonly unreadable: number;
}

/** One sealed value that its room stores itself, as `rotate` needs it. */
export interface SealedCell {
  /** Where the next page goes on. */
  readonly cursor: string;
  readonly label: Label;
  readonly envelope: Uint8Array;
  /** Stores the same value, sealed anew, if the cell still holds `envelope`. False: it was changed meanwhile. */
  update(envelope: Uint8Array): Promise<boolean>;
}

/** A column of sealed values outside the SealedStore. Every room that has one gives it to `bin`, which gives it to the vault. */
export interface SealedColumn {
  /** `table.column`, as in `sealedColumnNames`. */
  readonly name: SealedColumnName;
  /** Cells after the cursor, in order; fewer than `limit` on the last page only. Cells that hold nothing are left out. */
  list(after: string | undefined, limit: number): Promise<readonly SealedCell[]>;
}

/** Every column that holds envelopes: `rotate` with `compromised` refuses to begin when one of them was not given to it. */
export const sealedColumnNames = [
  'audit_keys.key_envelope',
  'authorities.key_envelope',
  'connections.pending_envelope',
  'flows.sealed_envelope',
  'provider_clients.secret_envelope',
  'runs.placeholders_envelope',
  'signing_keys.key_envelope',
  'upstreams.client_envelope',
] as const;
export type SealedColumnName = (typeof sealedColumnNames)[number];

/**
 * Seals and opens by key. Knows nothing of OAuth, expiry, policy or what an event means. A version is the value's own: it
 * starts at 1, is carried in the envelope, and is not changed by a rotation. Nothing here but `prepare` may be called
 * inside a `read` or `write` of Records, because a data key may have to be loaded.
 */
export interface Vault {
  /** Makes the data key of a new vault, in the caller's transaction. Not needed: the first `seal` would make it. */
  prepare(tx: Writing, owner: Owner): Promise<void>;
  /** Seals `value` at `place` if its stored version is `expected` (0: nothing there). */
  seal(place: Place, value: Secret<string>, expected: number): Promise<Sealing>;
  /** Undefined when nothing is there. @throws {Fault} `sealed_value_unreadable` */
  open(place: Place): Promise<Opened | undefined>;
  /** True if something was removed. */
  destroy(place: Place): Promise<boolean>;
  /** Seals a value for a column the caller stores itself. */
  enclose(label: Label, value: Secret<string>): Promise<Uint8Array>;
  /** Opens such a column. @throws {Fault} `sealed_value_unreadable` */
  disclose(label: Label, envelope: Uint8Array): Promise<Secret<string>>;
  /** Associated data of an envelope for `place`, to enclose one outside the SealedStore (SECURITY 13). */
  labelOf(place: Place, version: number): Label;
  /**
   * HMAC-SHA-256, base64url, with a keyring-derived key: for bearer values under 128 bits (SECURITY 18). The key is the
   * keyring's oldest, so that adding a master key changes nothing; removing the oldest ends the codes that are open then.
   */
  mac(purpose: string, value: string): string;
  /** Compares in constant time, with every key of the keyring. */
  verifyMac(purpose: string, value: string, mac: string): boolean;
  keys(): Promise<readonly MasterKeyFact[]>;
  /**
   * Re-wraps every data key with the newest master key; with `compromised`, makes new data keys and re-seals every
   * value, in the SealedStore and in every sealed column. Resumable: calling it again goes on where it was cut.
   * `onProgress` is called as it advances. @throws {Fault} `invalid_request` when `compromised` and no newer master key is there
   */
  rotate(options: { readonly compromised: boolean; readonly onProgress?: (progress: RotationProgress) => void }): Promise<RotationProgress>;
  /** Forgets every key in memory. */
  close(): Promise<void>;
}
