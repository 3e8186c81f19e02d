import type { z } from 'zod';
import type { BodyInput, Client, schemas } from '#api';
import { Fault, isFault } from '#kernel';

export type StartedRun = z.output<typeof schemas.startedRunView>;

export interface RunSession {
  readonly started: StartedRun;
  /** The run's credential as it is now. */
  credential(): string;
  /** Gets a new credential; true when there is one. Callers at once share one try. */
  renew(): Promise<boolean>;
  end(reason: string): Promise<void>;
}

export interface RunSessionDeps {
  readonly agent: Client;
  readonly request: BodyInput<'run_start'>;
  readonly now: () => number;
  /** Told once a lost run had to be started anew: placeholders of the old one no longer count. */
  readonly onNewRun: (run: StartedRun) => void;
}

/** Renewed well before its 5 minutes end, and not more often than this allows whatever the two clocks say. */
const [soonest, latest] = [5_000, 150_000];
/** The same refusal is not answered by a renewal more often than this. */
const calm = 2_000;

/** A run and its credential, kept alive by the agent's proof until `end`. @throws {Fault} what the server answers */
export async function startRunSession(deps: RunSessionDeps): Promise<RunSession> {
  const started = await deps.agent.call('run_start', { body: deps.request });
  let current = { run: started.run, credential: started.credential, expiresAt: started.credential_expires_at };
  let renewing: Promise<boolean> | undefined;
  let renewedAt = -Infinity;
  let ended = false;
  let timer: NodeJS.Timeout | undefined;

  const schedule = (failed: boolean) => {
    const left = current.expiresAt - deps.now();
    timer = setTimeout(() => void renew(), failed ? soonest : Math.min(latest, Math.max(soonest, left / 2)));
    timer.unref();
  };
  const renewOnce = async (): Promise<boolean> => {
    clearTimeout(timer);
    try {
      current = await renewed(deps, current);
      renewedAt = performance.now();
      schedule(false);
      return true;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      schedule(true);
      return false;
    } finally {
      renewing = undefined;
    }
  };
  const renew = async (): Promise<boolean> => {
    if (ended || performance.now() - renewedAt < calm) return false;
    renewing ??= renewOnce();
    return renewing;
  };

  schedule(false);
  return Object.freeze({
    started,
    credential: () => current.credential,
    renew,
    async end(reason: string) {
      ended = true;
      clearTimeout(timer);
      await deps.agent.call('run_end', { params: { run: current.run }, body: { reason } }).catch((error: unknown) => {
        if (!isFault(error)) throw error;
      });
    },
  });
}

interface Current {
  readonly run: StartedRun['run'];
  readonly credential: string;
  readonly expiresAt: number;
}

/** The same run while it lives; a new one when the server no longer knows it. */
async function renewed(deps: RunSessionDeps, { run }: Current): Promise<Current> {
  try {
    const answer = await deps.agent.call('run_renew', { params: { run } });
    return { run, credential: answer.credential, expiresAt: answer.credential_expires_at };
  } catch (error) {
    if (!isFault(error, 'run_ended') && !isFault(error, 'not_found')) throw error;
    const again = await deps.agent.call('run_start', { body: deps.request });
    deps.onNewRun(again);
    return { run: again.run, credential: again.credential, expiresAt: again.credential_expires_at };
  }
}
