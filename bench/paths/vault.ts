import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import { newId, Secret } from '#kernel';
import { compare, limit, type Row } from '../row.ts';
import { cpuEach, openParts } from '../support/parts.ts';

const rounds = 3;
const times = 20_000;
const value = 'sk-live-4f1d2c7b9e8a6053'.repeat(4);

/** Opening a sealed value from the store, and one that the caller holds, against AES-256-GCM alone. */
export async function measure(): Promise<readonly Row[]> {
  const parts = await openParts();
  const { vault, organization } = parts;
  const place = { organization: organization.id, vault: newId('vlt'), provider: 'bench-api', kind: 'connection', name: 'default' } as const;
  await vault.seal(place, new Secret(value), 0);
  const label = { owner: { kind: 'organization', organization: organization.id }, key: 'bench/value/1', version: 1 } as const;
  const envelope = await vault.enclose(label, new Secret(value));
  const raw = rawOpening();
  const taken: { opened: number[]; disclosed: number[]; raw: number[] } = { opened: [], disclosed: [], raw: [] };
  for (let round = 0; round <= rounds; round++) {
    const opened = await cpuEach(times, () => vault.open(place));
    const disclosed = await cpuEach(times, () => vault.disclose(label, envelope));
    const bare = await cpuEach(times, raw);
    if (round === 0) continue;
    taken.opened.push(opened);
    taken.disclosed.push(disclosed);
    taken.raw.push(bare);
  }
  await parts.close();
  return [
    compare({
      name: 'vault: open an envelope',
      unit: 'µs CPU',
      ours: taken.disclosed,
      against: 'AES-256-GCM alone',
      other: taken.raw,
      budget: '≤ 3',
    }),
    limit('vault: open a stored value, its read with it', 'µs CPU', taken.opened, '≤ 100'),
  ];
}

/** The fewest steps that open it. */
function rawOpening(): () => string {
  const [key, nonce, data] = [createSecretKey(randomBytes(32)), randomBytes(12), randomBytes(96)];
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(data);
  const sealed = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
  const tag = cipher.getAuthTag();
  return () => {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
    decipher.setAAD(data);
    decipher.setAuthTag(tag);
    const plain = decipher.update(sealed);
    decipher.final();
    return plain.toString('utf8');
  };
}
