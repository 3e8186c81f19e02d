import type { Readiness } from '#http';
import type { Clock } from '#kernel';
import { type SchemaState, type Store, stalest } from '#store';

/** Of one look; what does not answer in this time is taken for away. Milliseconds. */
const patience = 2_000;
/** Whoever asks again within this time is given the same answer: health is asked by anyone, and costs four look-ups. */
const holdsFor = 500;

/**
 * Whether this server can answer, and if not, why: by name, never by cause. Not before the first load of what has ended, nor
 * while it cannot be learnt (SECURITY 16). A newer schema is no reason: the next release serves beside this one.
 */
export function createReadiness(store: Store, clock: Clock): () => Promise<Readiness> {
  const database = createLook(() => store.ping());
  const ephemera = createLook(() => store.ephemera.ping());
  const sealed = createLook(() => store.sealed.get('readiness'));
  const schema = createLook(() => store.schema());
  let last: { readonly at: number; readonly answer: Promise<Readiness> } | undefined;

  async function look(): Promise<Readiness> {
    const seen = await Promise.all([database(), ephemera(), sealed(), schema()]);
    const facts = {
      database: reached(seen[0]),
      ephemera: reached(seen[1]),
      sealedStore: reached(seen[2]),
      migrations: migrationsOf(seen[3]?.value),
    } as const;
    const reasons = [
      ...(facts.database === 'unreachable' ? ['database'] : []),
      ...(facts.migrations === 'pending' ? ['migrations'] : []),
      ...(facts.ephemera === 'unreachable' ? ['ephemera'] : []),
      ...(facts.sealedStore === 'unreachable' ? ['sealed_store'] : []),
      ...(store.changes.age() <= stalest ? [] : ['stale_revocations']),
    ];
    const [reason] = reasons;
    return reason === undefined ? { ready: true, ...facts } : { ready: false, ...facts, reason };
  }

  return () => {
    const now = clock.monotonic();
    if (last === undefined || now - last.at >= holdsFor) last = { at: now, answer: look() };
    return last.answer;
  };
}

interface Seen<T> {
  readonly value: T;
}

/** Looks again only once the look before has ended: a server that hangs is not asked more often than it can answer. */
function createLook<T>(ask: () => Promise<T>): () => Promise<Seen<T> | undefined> {
  let asking: Promise<Seen<T> | undefined> | undefined;
  return async () => {
    asking ??= ask()
      .then(
        (value) => ({ value }),
        () => undefined,
      )
      .finally(() => {
        asking = undefined;
      });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, patience, undefined);
    });
    return await Promise.race([asking, late]).finally(() => clearTimeout(timer));
  };
}

const reached = (seen: Seen<unknown> | undefined) => (seen === undefined ? 'unreachable' : 'connected');

function migrationsOf(state: SchemaState | undefined): Readiness['migrations'] {
  if (state === undefined) return 'unknown';
  if (state.newer.length > 0) return 'newer';
  return state.pending.length > 0 ? 'pending' : 'current';
}
