import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { authorityCertificate, leafCertificate, newKey, signer } from '../../src/broker/x509.ts';

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority of a test's own, which vouches for names below `.test` only. */
export interface TestAuthority {
  readonly pem: string;
  issue(host: string, validity?: { readonly from: number; readonly until: number }): TestCertificate;
  /** Writes the authority's certificate; returns its path. */
  save(folder: string): string;
}

const day = 86_400_000;

export function testAuthority(names: readonly string[] = ['test'], name = 'Test authority'): TestAuthority {
  const from = Date.now() - day;
  const self = signer(name, newKey());
  const pem = authorityCertificate(self, names, { from, until: from + 30 * day });
  return {
    pem,
    issue(host, validity = { from, until: from + 20 * day }) {
      const leaf = signer('leaf', newKey());
      return { cert: leafCertificate(self, leaf, host, validity), key: leaf.key.export({ type: 'pkcs8', format: 'pem' }).toString() };
    },
    save(folder) {
      const path = join(folder, 'authority.pem');
      writeFileSync(path, pem);
      return path;
    },
  };
}
