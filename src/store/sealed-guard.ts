import type { Log } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import type { ChangeFeed } from './changes.ts';
import { type PlaceFact, placeFactOf, refuseElsewhere, type SealedPlace } from './place-of-sealed.ts';
import { type SealedStore, stalest } from './ports.ts';

interface Deps {
  readonly backend: RecordsBackend;
  readonly changes: ChangeFeed;
  readonly place: SealedPlace;
  readonly log: Log;
}

/**
 * Sealed values that are refused as soon as somebody begins to move them away, in every process: what is written to the place
 * that is left behind would be lost. Who moves them waits until every process has heard.
 */
export function guardSealed(sealed: SealedStore, { backend, changes, place, log }: Deps): { readonly store: SealedStore; stop(): void } {
  let found: PlaceFact = { place, moving: false };

  const look = async () => {
    found = await backend.read(undefined, placeFactOf);
  };
  const stop = changes.watch('settings', () => {
    void look().catch((error: unknown) => log.warn('it could not be learnt where sealed values lie', { error }));
  });

  /** A process that hears nothing looks for itself. */
  async function refuseMoved(): Promise<void> {
    if (changes.age() > stalest) await look();
    refuseElsewhere(found, place);
  }

  const store: SealedStore = Object.freeze({
    async get(key: string) {
      await refuseMoved();
      return await sealed.get(key);
    },
    async put(key: string, envelope: Uint8Array, expected: number) {
      await refuseMoved();
      return await sealed.put(key, envelope, expected);
    },
    async remove(key: string, expected: number) {
      await refuseMoved();
      return await sealed.remove(key, expected);
    },
    async list(prefix: string, page: Parameters<SealedStore['list']>[1]) {
      await refuseMoved();
      return await sealed.list(prefix, page);
    },
  });
  return { store, stop };
}
