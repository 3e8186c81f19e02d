import type { OrganizationId, Secret, VaultId } from '#kernel';
import type { Writing } from '#store';

/** Whose data key seals. */
export type Owner =
  | { readonly kind: 'vault'; readonly organization: OrganizationId; readonly vault: VaultId }
  | { readonly kind: 'organization'; readonly organization: OrganizationId }
  | { readonly kind: 'platform' };

/** Where a stored value lives. `provider`, `kind` and `name` match `[a-z0-9][a-z0-9._-]{0,63}` (RULES 19). */
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
  readonly done: number;
  readonly total: number;
}

/** Seals and opens by key. Knows nothing of OAuth, expiry, policy or what an event means. */
export interface Vault {
  /** Makes the data key of a new vault, in the caller's transaction. */
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
  /** Associated data of an envelope for `place`, to enclose one outside the SealedStore (RULES 13). */
  labelOf(place: Place, version: number): Label;
  /** HMAC-SHA-256, base64url, with a keyring-derived key: for bearer values under 128 bits (RULES 18). */
  mac(purpose: string, value: string): string;
  keys(): Promise<readonly MasterKeyFact[]>;
  /**
   * Re-wraps every data key with the newest master key; with `compromised`, makes new data keys and re-seals every
   * value. Resumable: calling it again goes on. `onProgress` is called as it advances.
   */
  rotate(options: { readonly compromised: boolean; readonly onProgress?: (progress: RotationProgress) => void }): Promise<RotationProgress>;
}
