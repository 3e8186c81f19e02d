import { createPublicKey, type KeyObject } from 'node:crypto';
import { Fault, type OrganizationId, type Principal } from '#kernel';
import type { TokenAlgorithmName } from '#oauth';
import { cacheByGeneration, isUniqueViolation, type Writing } from '#store';
import type { ImportedKey, ImportedKeyDraft, ImportedKeys } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { deleteImportedKey, type ImportedKeyRow, importedKeys, insertImportedKey } from './imported-keys.sql.ts';

/**
 * Keys of an earlier system, in our key set so that resource servers go on taking its tokens. They sign nothing, and nothing
 * that they signed counts here: whoever holds the private half makes no token of ours.
 */
export function createImportedKeys(deps: IssuerGround): ImportedKeys & { close(): void } {
  const { records, changes, clock } = deps;
  const known = cacheByGeneration<readonly ImportedKey[]>(changes, 'issuing', 1_000);
  return Object.freeze({
    judge: (draft: ImportedKeyDraft) => void judged(draft, clock.now()),
    async published(organization: OrganizationId) {
      const load = async () => (await records.in(organization).read((tx) => importedKeys(tx, organization))).map(keyOf);
      const now = clock.now();
      return ((await known.get(organization, load)) ?? []).filter(({ retiresAt = Number.POSITIVE_INFINITY }) => now < retiresAt);
    },
    add: (tx: Writing, by: Principal, draft: ImportedKeyDraft) => add(deps, tx, by, draft),
    remove: (by: Principal, kid: string) => remove(deps, by, kid),
    close: () => known.close(),
  });
}

/** Published names of keys, as they stand in the header of a JWT; ours begin with `sky_`. */
const kidShape = /^(?!sky_)[\x21-\x7e]{1,255}$/;

interface Judged {
  readonly algorithm: TokenAlgorithmName;
  readonly jwk: Readonly<Record<string, string>>;
}

/** @throws {Fault} `signing_key_invalid` with a sentence per field */
function judged({ kid, publicJwk, retiresAt }: ImportedKeyDraft, now: number): Judged {
  const key = publicKeyOf(publicJwk);
  const algorithm = key === undefined ? undefined : algorithmOf(key);
  const flaws = {
    '/kid': kidShape.test(kid) ? undefined : 'write the kid of its tokens: 1 to 255 visible characters, not beginning with sky_',
    '/public_jwk': algorithm === undefined ? 'give a public key: RSA of 2048 bits or more, P-256 or Ed25519' : undefined,
    '/retires_at': retiresAt !== undefined && retiresAt <= now ? 'name a time to come' : undefined,
  };
  const fields = Object.fromEntries(Object.entries(flaws).filter((entry): entry is [string, string] => entry[1] !== undefined));
  if (key === undefined || algorithm === undefined || Object.keys(fields).length > 0) throw new Fault('signing_key_invalid', { fields });
  return { algorithm, jwk: { ...(key.export({ format: 'jwk' }) as Record<string, string>), kid, alg: algorithm, use: 'sig' } };
}

function publicKeyOf(jwk: Readonly<Record<string, unknown>>): KeyObject | undefined {
  if (['d', 'k', 'p', 'q'].some((member) => jwk[member] !== undefined)) return undefined;
  try {
    return createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): TokenAlgorithmName | undefined {
  if (type === 'rsa') return (details.modulusLength ?? 0) >= 2048 ? 'RS256' : undefined;
  if (type === 'ec') return details.namedCurve === 'prime256v1' ? 'ES256' : undefined;
  return type === 'ed25519' ? 'EdDSA' : undefined;
}

async function add({ audit, clock }: IssuerGround, tx: Writing, by: Principal, draft: ImportedKeyDraft): Promise<void> {
  const now = clock.now();
  const { algorithm, jwk } = judged(draft, now);
  const { kid, retiresAt: retires_at = null } = draft;
  const row = { organization_id: by.organization, created_at: now, kid, algorithm, public_jwk_json: JSON.stringify(jwk), retires_at };
  await insertImportedKey(tx, row).catch(refuseTaken);
  await audit.record(tx, { name: 'signing_key.imported', principal: by, fields: { kid, algorithm, retires_at } });
  await tx.bump('issuing');
}

function refuseTaken(cause: unknown): never {
  if (!isUniqueViolation(cause)) throw cause;
  throw new Fault('signing_key_invalid', { cause, fields: { '/kid': 'there is a key of this name' } });
}

async function remove({ records, audit }: IssuerGround, by: Principal, kid: string): Promise<void> {
  await records.in(by.organization).write(async (tx) => {
    if (!(await deleteImportedKey(tx, by.organization, kid))) throw new Fault('not_found');
    await audit.record(tx, { name: 'signing_key.withdrawn', principal: by, fields: { kid } });
    await tx.bump('issuing');
  });
}

function keyOf(row: ImportedKeyRow): ImportedKey {
  return Object.freeze({
    kid: row.kid,
    algorithm: row.algorithm,
    jwk: JSON.parse(row.public_jwk_json) as Record<string, string>,
    createdAt: row.created_at,
    retiresAt: row.retires_at ?? undefined,
  });
}
