import type { Lives } from '#api';
import type { Audit } from '#audit';
import type { Identity } from '#identity';
import type { Jobs } from '#jobs';
import type { Clock, Log } from '#kernel';
import type { Net } from '#net';
import type { Signin } from '#signin';
import type { Changes, Ephemera, Records } from '#store';
import type { Vault } from '#vault';
import type { Clients, DetailsTypes, ImportedKeys, Lifetimes, RegistrationPolicy, Resources, TrustedIssuers } from './contract.ts';
import type { Endings } from './endings.ts';
import type { Keys } from './keys.ts';

/** What the room stands on. */
export interface IssuerGround {
  readonly records: Records;
  readonly ephemera: Ephemera;
  readonly changes: Changes;
  readonly identity: Identity;
  readonly vault: Vault;
  readonly audit: Audit;
  /** Whether sessions stand, and when they end. */
  readonly signin: Pick<Signin, 'stands' | 'whenEnded' | 'end'>;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly net: Net;
  readonly registration: RegistrationPolicy;
  readonly clock: Clock;
  readonly log: Log;
  /** DPoP proofs must hold a nonce of ours (RFC 9449 §8). */
  readonly dpopNonce?: boolean;
  /** Of the installation, in seconds. */
  readonly lives?: Lives;
  /** How long a key signs before the next one is due; in milliseconds. */
  readonly keySigns?: number;
  /** Certificates of clients reach this server. */
  readonly clientCertificates?: boolean;
}

/** What every step has at hand. */
export interface IssuerDeps extends IssuerGround {
  readonly keys: Keys;
  readonly clients: Clients;
  readonly resources: Resources;
  readonly trustedIssuers: TrustedIssuers;
  readonly detailsTypes: DetailsTypes;
  readonly lifetimes: Lifetimes;
  readonly importedKeys: ImportedKeys;
  readonly endings: Endings;
}
