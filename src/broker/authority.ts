import { createPrivateKey, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { type Clock, Fault, type OrganizationId, Secret } from '#kernel';
import type { Vault } from '#vault';
import type { Authority } from './contract.ts';
import { Latest } from './latest.ts';
import type { RunQueries } from './runs.sql.ts';
import { authorityLabel } from './sealed.ts';
import { authorityCertificate, leafCertificate, newKey, type Signer, signer } from './x509.ts';

const hour = 3_600_000;
/** Clocks differ: everything is valid from an hour ago. */
const skew = hour;
/** SECURITY 12. */
export const runLife = 24 * hour;
const leafLife = 48 * hour;

interface Deps {
  readonly queries: RunQueries;
  readonly vault: Vault;
  readonly clock: Clock;
}

/** An organization's interception key at work. */
export interface Interception extends Authority {
  /** A run CA, PEM: valid for a day, for these names and what is below them. */
  runCertificate(names: readonly string[]): string;
}

interface Leaf {
  readonly certificatePem: string;
  readonly key: KeyObject;
  readonly renewAt: number;
}

/** Interception keys by organization: made once, sealed, opened once per process. */
export function createAuthorities(deps: Deps) {
  const known = new Map<OrganizationId, Promise<Interception>>();
  // One leaf key for the process: the certificate is what differs.
  const leafKey = signer('Gatehouse', newKey());

  return Object.freeze({
    of(organization: OrganizationId): Promise<Interception> {
      const found = known.get(organization);
      if (found) return found;
      const loading = keyOf(deps, organization).then((key) => interception(deps.clock, leafKey, organization, key));
      known.set(organization, loading);
      loading.catch(() => known.delete(organization));
      return loading;
    },
  });
}

function interception(clock: Clock, leafKey: Signer, organization: OrganizationId, key: KeyObject): Interception {
  // Every run CA of the organization has this name and key, so a leaf fits them all.
  const self = signer(`Gatehouse ${organization}`, key);
  const leaves = new Latest<string, Leaf>(2_000);

  function issue(host: string): Leaf {
    if (isIP(host) !== 0 || host === '') throw new Fault('host_refused', { detail: 'An address is never intercepted' });
    const now = clock.now();
    const certificatePem = leafCertificate(self, leafKey, host, { from: now - skew, until: now + leafLife });
    const leaf = Object.freeze({ certificatePem, key: leafKey.key, renewAt: now + leafLife / 2 });
    leaves.set(host, leaf);
    return leaf;
  }

  return Object.freeze({
    leaf(host: string) {
      const found = leaves.get(host);
      return found && found.renewAt > clock.now() ? found : issue(host);
    },
    runCertificate(names: readonly string[]) {
      const now = clock.now();
      return authorityCertificate(self, names, { from: now - skew, until: now + runLife - skew });
    },
  });
}

/** The organization's key. Of any number of processes that make one at once, one is kept and all use it. */
async function keyOf(deps: Deps, organization: OrganizationId): Promise<KeyObject> {
  const row = await deps.queries.authority(organization);
  if (row) return opened(deps.vault, organization, row.key_envelope);
  const key = newKey();
  const pkcs8 = new Secret(key.export({ format: 'der', type: 'pkcs8' }).toString('base64'));
  const made = {
    organization_id: organization,
    key_envelope: await deps.vault.enclose(authorityLabel(organization), pkcs8),
    public_key: signer('', key).publicKey,
    created_at: deps.clock.now(),
    version: 1,
  };
  if (await deps.queries.insertAuthority(made)) return key;
  return keyOf(deps, organization);
}

async function opened(vault: Vault, organization: OrganizationId, envelope: Uint8Array): Promise<KeyObject> {
  const pkcs8 = await vault.disclose(authorityLabel(organization), envelope);
  return createPrivateKey({ key: Buffer.from(pkcs8.reveal(), 'base64'), format: 'der', type: 'pkcs8' });
}
