import type { JobKind } from '#jobs';
import { keyJobs } from './key-jobs.ts';
import type { Parts } from './parts.ts';

/** Everything that this process can do in the background. */
export function jobKinds(parts: Parts): readonly JobKind[] {
  return [...upkeep(parts), ...keyJobs(parts), ...parts.issuer.jobKinds];
}

/** What every installation does by itself. */
function upkeep({ store, audit, identity, signin, issuer }: Parts): readonly JobKind[] {
  return [
    { kind: 'store.checkpoint', every: 15_000, attempts: 3, run: async () => void (await store.checkpoint()) },
    { kind: 'audit.checkpoint', every: 60_000, attempts: 3, run: async () => void (await audit.checkpoint()) },
    { kind: 'identity.sweep', every: 300_000, attempts: 3, run: async () => void (await identity.sweep()) },
    { kind: 'signin.sweep', every: 300_000, attempts: 3, run: async () => void (await signin.sweep()) },
    { kind: 'issuer.sweep', every: 300_000, attempts: 3, run: async () => void (await issuer.sweep()) },
  ];
}
