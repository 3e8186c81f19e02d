import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { type Clock, type Log, type OrganizationId, Secret } from '#kernel';
import { isUniqueViolation, type Records, sha256 } from '#store';
import type { Label, SealedCell, SealedColumn, Vault } from '#vault';
import { type AuditQueries, auditQueries, type ChainHead, type CheckpointRow } from './events.sql.ts';

export interface Checkpoints {
  /** Signs the head of every chain that grew; how many. */
  sign(): Promise<number>;
  /** Judges checkpoints of an organization; undefined when it has no key. */
  judge(organization: OrganizationId): Promise<((checkpoint: CheckpointRow) => boolean) | undefined>;
}

interface Deps {
  readonly queries: AuditQueries;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log: Log;
}

/** Checkpoints: the head of a chain, signed with the organization's own Ed25519 key, which rests sealed. */
export function createCheckpoints(deps: Deps): Checkpoints {
  const { queries, clock, log } = deps;

  async function signHead(head: ChainHead): Promise<boolean> {
    const key = await keyOf(deps, head.organization);
    const at = clock.now();
    const row = { organization_id: head.organization, writer: head.writer, sequence: head.sequence, hash: head.hash, at };
    const signature = sign(null, messageOf(row), key);
    try {
      await queries.insertCheckpoint({ ...row, signature });
    } catch (error) {
      if (isUniqueViolation(error)) return false;
      throw error;
    }
    log.info('audit checkpoint', printed({ ...row, signature }, key));
    return true;
  }

  return Object.freeze({
    async sign() {
      let count = 0;
      for (const head of await queries.grown()) if (await signHead(head)) count += 1;
      return count;
    },
    async judge(organization: OrganizationId) {
      const row = await queries.key(organization);
      if (row === undefined) return undefined;
      // The public column is for readers; what is trusted comes out of the sealed key.
      const key = createPublicKey(await disclosed(deps.vault, organization, row.key_envelope));
      return (checkpoint: CheckpointRow) => verify(null, messageOf(checkpoint), key, checkpoint.signature);
    },
  });
}

/** The sealed keys of this room, for a rotation that seals everything again. */
export function auditSealedColumns(deps: { readonly records: Records }): readonly SealedColumn[] {
  const queries = auditQueries(deps.records);
  return [
    {
      name: 'audit_keys.key_envelope',
      async list(after, limit) {
        const rows = await queries.keysAfter(after ?? '', limit);
        return rows.map(
          (row): SealedCell => ({
            cursor: row.organization_id,
            label: labelOf(row.organization_id),
            envelope: row.key_envelope,
            update: (envelope) => queries.resealKey(row, envelope),
          }),
        );
      },
    },
  ];
}

/** The organization's key; of any number that make one at once, one is there afterwards. */
async function keyOf(deps: Deps, organization: OrganizationId): Promise<KeyObject> {
  const row = await deps.queries.key(organization);
  if (row !== undefined) return await disclosed(deps.vault, organization, row.key_envelope);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
  const envelope = await deps.vault.enclose(labelOf(organization), new Secret(pkcs8.toString('base64')));
  const made = { organization_id: organization, key_envelope: envelope, public_key: publicKey.export({ format: 'der', type: 'spki' }) };
  try {
    await deps.queries.insertKey({ ...made, created_at: deps.clock.now(), version: 1 });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
  }
  return await keyOf(deps, organization);
}

async function disclosed(vault: Vault, organization: OrganizationId, envelope: Uint8Array): Promise<KeyObject> {
  const pkcs8 = await vault.disclose(labelOf(organization), envelope);
  return createPrivateKey({ key: Buffer.from(pkcs8.reveal(), 'base64'), format: 'der', type: 'pkcs8' });
}

function labelOf(organization: OrganizationId): Label {
  return { owner: { kind: 'organization', organization }, key: `audit_keys/key/${organization}`, version: 1 };
}

/** What is signed: canonical JSON, so that anybody can check a checkpoint that was sent elsewhere. */
function messageOf(row: Omit<CheckpointRow, 'signature'>): Buffer {
  const { at, organization_id, sequence, writer } = row;
  const hash = Buffer.from(row.hash).toString('hex');
  return Buffer.from(JSON.stringify({ at, hash, organization: organization_id, purpose: 'gatehouse audit checkpoint', sequence, writer }));
}

function printed(row: CheckpointRow, key: KeyObject): Record<string, unknown> {
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    organization: row.organization_id,
    writer: row.writer,
    sequence: row.sequence,
    hash: Buffer.from(row.hash).toString('hex'),
    at: row.at,
    signature: Buffer.from(row.signature).toString('base64url'),
    key: sha256(publicKey),
  };
}
