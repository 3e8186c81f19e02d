import type { KeyChanges } from '#http';
import type { JobKind, Jobs } from '#jobs';
import type { OrganizationId, Principal } from '#kernel';
import type { Parts } from './parts.ts';

interface KeyPayload {
  readonly by: Principal;
  readonly compromised: boolean;
}

/** Work on keys happens after the confirming transaction, as jobs: a file or thousands of rows do not fit in one. */
export function keyChanges(jobs: Jobs, organization: OrganizationId): KeyChanges {
  return {
    add: async (tx, by) => ({
      job: await jobs.add(tx, {
        kind: 'keys.add',
        organization,
        payload: { by, compromised: false },
        uniqueKey: `keys.add:${organization}`,
      }),
    }),
    rotate: async (tx, by, { compromised }) => ({
      job: await jobs.add(tx, {
        kind: 'keys.rotate',
        organization,
        payload: { by, compromised },
        uniqueKey: `keys.rotate:${compromised}:${organization}`,
      }),
    }),
  };
}

/** What runs them: adding a master key where they are kept, and re-wrapping with the newest. */
export function keyJobs(parts: Parts): readonly JobKind[] {
  return [
    { kind: 'keys.add', attempts: 1, run: ({ payload }) => add(parts, payload as KeyPayload) },
    {
      kind: 'keys.rotate',
      attempts: 10,
      async run({ payload, progress }) {
        await parts.keyring.reload();
        const { by, compromised } = payload as KeyPayload;
        const done = await parts.vault.rotate({ compromised, onProgress: (now) => void progress(now) });
        await progress(done);
        await tell(parts, by, 'key.rotated', { key: parts.keyring.current().id, count: done.total, compromised });
      },
    },
  ];
}

async function add(parts: Parts, { by }: KeyPayload): Promise<void> {
  const key = await parts.keyring.add();
  await tell(parts, by, 'key.added', { key });
}

function tell(
  { store, audit }: Parts,
  by: Principal,
  name: 'key.added' | 'key.rotated',
  fields: Record<string, string | number | boolean>,
): Promise<void> {
  return store.records.in(by.organization).write((tx) => audit.record(tx, { name, principal: by, fields }));
}
