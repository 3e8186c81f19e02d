import { endEveryRun } from '#broker';
import type { ResumeOutcome } from '#cli';
import type { Environment, Settings } from '#config';
import { outdateEverything } from '#identity';
import { type Clock, type Log, silentLog } from '#kernel';
import { endEverySession } from '#signin';
import { beginPause, endPause } from '#store';
import { buildParts, type Parts } from './parts.ts';

const operatorOf = ({ organization }: Parts) => ({ organization: organization.id, subject: { kind: 'operator' }, actors: [] }) as const;

/** Opens the installation, whatever its standing, for as long as `work` takes: the master key is proven on the way. */
async function opened<T>(settings: Settings, env: Environment, clock: Clock, work: (parts: Parts) => Promise<T>): Promise<T> {
  const log: Log = silentLog;
  const parts = await buildParts({ settings, env, dev: false, paused: true, clock, log });
  try {
    return await work(parts);
  } finally {
    await parts.close();
  }
}

/** Ends a pause, and with it every session, run and token that is older (SECURITY 20). */
export function resume(settings: Settings, env: Environment, clock: Clock): Promise<ResumeOutcome> {
  return opened(settings, env, clock, (parts) =>
    parts.store.records.platform('everything that was made before a pause').write(async (tx) => {
      const standing = await endPause(tx);
      if (standing === undefined) return { resumed: false, sessions: 0, runs: 0 };
      await outdateEverything(tx);
      const sessions = await endEverySession(tx, clock.now());
      const runs = await endEveryRun(tx, clock.now());
      for (const topic of ['policy', 'connections', 'providers', 'keys', 'settings'] as const) await tx.bump(topic);
      const fields = { by: standing.by, sessions, runs };
      await parts.audit.record(tx, { name: 'installation.resumed', principal: operatorOf(parts), fields });
      return { resumed: true, sessions, runs };
    }),
  );
}

/** Lets no server serve the installation that starts from now on. False: it is paused already. */
export function pause(settings: Settings, env: Environment, clock: Clock): Promise<boolean> {
  return opened(settings, env, clock, (parts) =>
    parts.store.records.platform('everything that was made before a pause').write(async (tx) => {
      if (!(await beginPause(tx, clock.now()))) return false;
      await parts.audit.record(tx, { name: 'installation.paused', principal: operatorOf(parts), fields: {} });
      return true;
    }),
  );
}
