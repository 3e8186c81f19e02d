import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { Latest } from './latest.ts';
import { sha256 } from './sha256.ts';

/**
 * The roots an upstream may chain to: Node's own with `NODE_EXTRA_CA_CERTS`, and the system's (which follow
 * `SSL_CERT_FILE` and `SSL_CERT_DIR`). Read at first use, once: it takes a tenth of a second.
 */
function roots(): readonly string[] {
  return [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];
}

/** Secure contexts by their extra authorities, prebuilt: making one costs more than a handshake. */
export interface Contexts {
  for(extra: readonly string[]): { readonly context: SecureContext; readonly key: string };
}

export function createContexts(): Contexts {
  let known: readonly string[] | undefined;
  const contexts = new Latest<string, SecureContext>(64);
  return Object.freeze({
    for(extra: readonly string[]) {
      const key = extra.length === 0 ? '' : sha256(extra.join('\n'));
      let context = contexts.get(key);
      if (!context) {
        known ??= roots();
        context = createSecureContext({ ca: [...known, ...extra], minVersion: 'TLSv1.2' });
        contexts.set(key, context);
      }
      return { context, key };
    },
  });
}
