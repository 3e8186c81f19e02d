import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { Fault, newId, type OrganizationId, type Principal, Secret, type SigningKeyId } from '#kernel';
import { generateTokenKey, publicTokenJwk, type SealingKey, sealingKeyOf, type TokenAlgorithmName, type TokenKey } from '#oauth';
import { cacheByGeneration, isUniqueViolation, type Writing } from '#store';
import type { SigningKeyFact } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { insertSigningKey, type SigningKeyRow, signingKeys } from './keys.sql.ts';
import { lives } from './lives.ts';
import { signingKeyLabel } from './sealed-columns.ts';

/** A published key. */
export interface PublishedKey {
  readonly id: SigningKeyId;
  readonly algorithm: TokenAlgorithmName;
  readonly sequence: number;
  readonly createdAt: number;
  readonly signsFrom: number;
  readonly jwk: Readonly<Record<string, string>>;
  readonly key: KeyObject;
  readonly row: SigningKeyRow;
}

interface OpenedKey extends TokenKey {
  readonly sealing: SealingKey;
}

/** Keys that sign the tokens of organizations. */
export interface Keys {
  /** The key that signs now; of any number of replicas that make the first one at once, one is kept. */
  signer(organization: OrganizationId, algorithm: TokenAlgorithmName): Promise<TokenKey>;
  /** What seals opaque tokens now: it goes with the ES256 key that signs. */
  sealer(organization: OrganizationId): Promise<SealingKey>;
  /** What sealed opaque tokens that still count, by its `kid`. */
  opener(organization: OrganizationId, kid: SigningKeyId): Promise<SealingKey | undefined>;
  /** A key whose signatures still count, by its `kid`. */
  verifier(organization: OrganizationId, kid: unknown): Promise<PublishedKey | undefined>;
  /** Every key whose signatures count now or will. */
  published(organization: OrganizationId): Promise<readonly PublishedKey[]>;
  /** Those whose signatures count no more, too. */
  all(organization: OrganizationId): Promise<readonly PublishedKey[]>;
  facts(organization: OrganizationId): Promise<readonly SigningKeyFact[]>;
  next(by: Principal, algorithm: TokenAlgorithmName): Promise<(tx: Writing) => Promise<SigningKeyId>>;
  close(): void;
}

export function createKeys(deps: IssuerGround): Keys {
  const { records, changes, vault, clock } = deps;
  const rings = cacheByGeneration<readonly PublishedKey[]>(changes, 'issuing', 1_000);
  const opened = cacheByGeneration<OpenedKey>(changes, 'keys', 1_000);

  async function ring(organization: OrganizationId): Promise<readonly PublishedKey[]> {
    const load = async () => (await records.in(organization).read((tx) => signingKeys(tx, organization))).map(publishedOf);
    return (await rings.get(organization, load)) ?? [];
  }

  async function signer(organization: OrganizationId, algorithm: TokenAlgorithmName): Promise<OpenedKey> {
    const now = clock.now();
    const keys = (await ring(organization)).filter((key) => key.algorithm === algorithm);
    // The first one signs at once, also where this machine's clock is behind that of the one that made it.
    const current = keys.filter(({ signsFrom }) => signsFrom <= now).at(-1) ?? keys[0];
    if (current !== undefined) return opening(organization, current);
    const first = await make(deps, organization, algorithm, { sequence: 1, signsFrom: now });
    await first.store(system(organization)).catch(unlessTaken);
    return signer(organization, algorithm);
  }

  async function opening(organization: OrganizationId, key: PublishedKey): Promise<OpenedKey> {
    return (await opened.get(key.id, () => open(organization, key))) as OpenedKey;
  }

  async function open(organization: OrganizationId, { id, algorithm, row }: PublishedKey): Promise<OpenedKey> {
    const pkcs8 = await vault.disclose(signingKeyLabel(organization, id), row.key_envelope);
    const privateKey = createPrivateKey({ key: Buffer.from(pkcs8.reveal(), 'base64'), format: 'der', type: 'pkcs8' });
    const key = { algorithm, kid: id, privateKey };
    return Object.freeze({ ...key, sealing: sealingKeyOf(key) });
  }

  async function published(organization: OrganizationId): Promise<readonly PublishedKey[]> {
    const keys = await ring(organization);
    return keys.filter((key) => retiresAt(key, keys) > clock.now());
  }

  async function verifier(organization: OrganizationId, kid: unknown): Promise<PublishedKey | undefined> {
    return (await published(organization)).find(({ id }) => id === kid);
  }

  return Object.freeze({
    signer,
    sealer: async (organization: OrganizationId) => (await signer(organization, 'ES256')).sealing,
    async opener(organization: OrganizationId, kid: SigningKeyId) {
      const key = await verifier(organization, kid);
      return key === undefined ? undefined : (await opening(organization, key)).sealing;
    },
    verifier,
    published,
    all: ring,
    async facts(organization: OrganizationId) {
      const keys = await published(organization);
      return keys.map((key) => factOf(key, keys, clock.now()));
    },
    async next(by: Principal, algorithm: TokenAlgorithmName) {
      const before = (await ring(by.organization)).filter((key) => key.algorithm === algorithm).at(-1);
      const now = clock.now();
      const place =
        before === undefined ? { sequence: 1, signsFrom: now } : { sequence: before.sequence + 1, signsFrom: now + lives.keyLead };
      const made = await make(deps, by.organization, algorithm, place);
      return (tx: Writing) => made.insert(tx, by);
    },
    close() {
      rings.close();
      opened.close();
    },
  });
}

/** Generates and seals a key; it exists once its row is committed. */
async function make(
  { records, vault, audit, clock }: IssuerGround,
  organization: OrganizationId,
  algorithm: TokenAlgorithmName,
  { sequence, signsFrom }: { readonly sequence: number; readonly signsFrom: number },
) {
  const createdAt = clock.now();
  const id = newId('sky', createdAt);
  const privateKey = generateTokenKey(algorithm);
  const pkcs8 = new Secret(privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64'));
  const envelope = await vault.enclose(signingKeyLabel(organization, id), pkcs8);
  const publicJwk = publicTokenJwk({ algorithm, kid: id, privateKey });
  const insert = async (tx: Writing, by: Principal) => {
    await insertSigningKey(tx, { id, organization, algorithm, sequence, publicJwk, envelope, createdAt, signsFrom });
    await audit.record(tx, { name: 'signing_key.made', principal: by, fields: { key: id, algorithm, signs_from: signsFrom } });
    await tx.bump('issuing');
    return id;
  };
  return { insert, store: (by: Principal) => records.in(organization).write((tx) => insert(tx, by)) };
}

/** The next key, for a person who asked for it. @throws {Fault} `conflict`, when it is stored, where somebody else made the next one meanwhile */
export async function nextKey(keys: Keys, by: Principal, algorithm: TokenAlgorithmName): ReturnType<Keys['next']> {
  const store = await keys.next(by, algorithm);
  return (tx) =>
    store(tx).catch((cause: unknown) => {
      if (!isUniqueViolation(cause)) throw cause;
      throw new Fault('conflict', {
        cause,
        detail: 'Somebody else made the next key meanwhile',
        hint: 'see it with: gatehouse issuer-keys list',
      });
    });
}

export function unlessTaken(error: unknown): undefined {
  if (isUniqueViolation(error)) return undefined;
  throw error;
}

export function system(organization: OrganizationId): Principal {
  return { organization, subject: { kind: 'system' }, actors: [] };
}

function publishedOf(row: SigningKeyRow): PublishedKey {
  const jwk = JSON.parse(row.public_jwk_json) as Record<string, string>;
  return Object.freeze({
    id: row.id,
    algorithm: row.algorithm as TokenAlgorithmName,
    sequence: row.sequence,
    createdAt: row.created_at,
    signsFrom: row.signs_from,
    jwk,
    key: createPublicKey({ key: jwk, format: 'jwk' }),
    row,
  });
}

/** A key's signatures count until the last token has expired that it signed before the next one took over. */
export function retiresAt(key: PublishedKey, ring: readonly PublishedKey[]): number {
  const next = ring.find(({ algorithm, sequence }) => algorithm === key.algorithm && sequence > key.sequence);
  return next === undefined ? Number.POSITIVE_INFINITY : next.signsFrom + lives.longestToken + lives.skew;
}

function factOf(key: PublishedKey, ring: readonly PublishedKey[], now: number): SigningKeyFact {
  const { id, algorithm, createdAt, signsFrom } = key;
  const signing = ring.filter((one) => one.algorithm === algorithm && one.signsFrom <= now).at(-1);
  const state = signsFrom > now ? 'next' : signing?.id === id ? 'signing' : 'verifying';
  return { id, algorithm, state, createdAt, signsFrom };
}
