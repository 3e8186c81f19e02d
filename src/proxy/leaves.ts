import type { KeyObject } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Broker } from '#broker';
import type { Clock, OrganizationId } from '#kernel';

interface Held {
  readonly context: SecureContext;
  readonly until: number;
}

const remembered = 1_000;
const life = 3_600_000;

/** TLS contexts of intercepted hosts, the least recently used dropped first. */
export class Leaves {
  readonly #held = new Map<string, Held>();
  readonly #keys = new WeakMap<KeyObject, string | Buffer>();
  readonly #broker: Broker;
  readonly #clock: Clock;

  constructor(broker: Broker, clock: Clock) {
    this.#broker = broker;
    this.#clock = clock;
  }

  async contextFor(organization: OrganizationId, host: string): Promise<SecureContext> {
    const key = `${organization}|${host}`;
    const held = this.#held.get(key);
    if (held !== undefined && held.until > this.#clock.monotonic()) {
      this.#held.delete(key);
      this.#held.set(key, held);
      return held.context;
    }
    const leaf = (await this.#broker.authority(organization)).leaf(host);
    const context = createSecureContext({ cert: leaf.certificatePem, key: this.#pem(leaf.key), minVersion: 'TLSv1.2' });
    if (this.#held.size >= remembered) this.#held.delete(this.#held.keys().next().value as string);
    this.#held.set(key, { context, until: this.#clock.monotonic() + life });
    return context;
  }

  #pem(key: KeyObject): string | Buffer {
    let pem = this.#keys.get(key);
    if (pem === undefined) {
      pem = key.export({ format: 'pem', type: 'pkcs8' });
      this.#keys.set(key, pem);
    }
    return pem;
  }
}
