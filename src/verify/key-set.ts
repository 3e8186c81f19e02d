import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Clock } from '#kernel';
import { type TokenAlgorithmName, tokenAlgorithmNames } from '#oauth';
import type { IssuerSide } from './issuer-side.ts';

/** A key of the issuer, with the one algorithm that it is for. */
export interface IssuerKey {
  readonly algorithm: TokenAlgorithmName;
  readonly key: KeyObject;
}

/** The keys of the issuer, as last fetched. */
export interface KeySet {
  /** By `kid`. One that is not known has the set fetched again, at most once in five seconds, whoever asks. */
  find(kid: unknown): Promise<IssuerKey | undefined>;
  /** Whether what it signed still counts. */
  counts(kid: string): boolean;
  /** Which of them count, as the issuer says: another that counted before is forgotten at once. */
  counting(kids: ReadonlySet<string>): void;
}

/** Between two fetches for the sake of a key that is not known, milliseconds. */
const pause = 5_000;
/** Keys that are remembered as forgotten; the issuer lists none of them any more. */
const mostWithdrawn = 100;

export function createKeySet(issuer: IssuerSide, clock: Clock): KeySet {
  let keys: ReadonlyMap<string, IssuerKey> = new Map();
  let counted: ReadonlySet<string> = new Set();
  let withdrawn: ReadonlySet<string> = new Set();
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let fetching: Promise<void> | undefined;

  async function fetch(): Promise<void> {
    fetchedAt = clock.monotonic();
    const { keySet } = await issuer.metadata();
    keys = readKeySet((await issuer.json(keySet)).keys);
  }

  /** Waits for the fetch under way, or begins one where the last is long enough ago. */
  async function refresh(): Promise<void> {
    if (fetching === undefined && clock.monotonic() - fetchedAt < pause) return;
    fetching ??= fetch()
      .catch((cause: unknown) => {
        // One that failed is no reason to wait.
        fetchedAt = Number.NEGATIVE_INFINITY;
        throw cause;
      })
      .finally(() => {
        fetching = undefined;
      });
    await fetching;
  }

  return Object.freeze({
    async find(kid: unknown) {
      if (typeof kid !== 'string' || withdrawn.has(kid)) return undefined;
      if (!keys.has(kid)) await refresh();
      return withdrawn.has(kid) ? undefined : keys.get(kid);
    },
    counts: (kid: string) => !withdrawn.has(kid),
    counting(kids: ReadonlySet<string>) {
      withdrawn = new Set([...withdrawn, ...counted].filter((kid) => !kids.has(kid)).slice(-mostWithdrawn));
      counted = kids;
    },
  });
}

/** RFC 7517 §5: what is not understood is passed over. */
function readKeySet(members: unknown): ReadonlyMap<string, IssuerKey> {
  const found = new Map<string, IssuerKey>();
  for (const jwk of Array.isArray(members) ? (members as Readonly<Record<string, unknown>>[]) : []) {
    const algorithm = tokenAlgorithmNames.find((name) => name === jwk.alg);
    if (typeof jwk.kid !== 'string' || algorithm === undefined || (jwk.use ?? 'sig') !== 'sig') continue;
    try {
      const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
      if (fits(key, algorithm)) found.set(jwk.kid, { algorithm, key });
    } catch {
      // Not a key.
    }
  }
  return found;
}

/** RFC 8725 §3.1: the algorithm is the key's, and no other. */
function fits({ type, asymmetricKeyType, asymmetricKeyDetails }: KeyObject, algorithm: TokenAlgorithmName): boolean {
  if (type !== 'public') return false;
  const { namedCurve, modulusLength = 0 } = asymmetricKeyDetails ?? {};
  if (algorithm === 'ES256') return asymmetricKeyType === 'ec' && namedCurve === 'prime256v1';
  return algorithm === 'EdDSA' ? asymmetricKeyType === 'ed25519' : asymmetricKeyType === 'rsa' && modulusLength >= 2048;
}
