import { authorityCertificate, leafCertificate, newKey, signer } from '../../src/broker/x509.ts';

const hour = 3_600_000;

export interface TestAuthority {
  /** What a client must trust. */
  readonly pem: string;
  /** A server's certificate and key for `host`; `from` and `until` in hours from now. */
  issue(host: string, dates?: { readonly from?: number; readonly until?: number }): { readonly cert: string; readonly key: string };
}

/** A certificate authority for servers of a test; it may sign for `names` and what is below them. */
export function testAuthority(...names: readonly string[]): TestAuthority {
  const self = signer('Authority of a test', newKey());
  const now = Date.now();
  return Object.freeze({
    pem: authorityCertificate(self, names, { from: now - 1_000 * hour, until: now + 1_000 * hour }),
    issue(host: string, dates: { readonly from?: number; readonly until?: number } = {}) {
      const key = newKey();
      const validity = { from: now + (dates.from ?? -1) * hour, until: now + (dates.until ?? 24) * hour };
      const cert = leafCertificate(self, signer('Server of a test', key), host, validity);
      return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }) as string };
    },
  });
}

/** A server's certificate that nobody signed but itself. */
export function selfSigned(host: string): { readonly cert: string; readonly key: string } {
  const key = newKey();
  const self = signer(host, key);
  const now = Date.now();
  const cert = leafCertificate(self, self, host, { from: now - hour, until: now + 24 * hour });
  return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }) as string };
}
