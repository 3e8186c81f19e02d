import type { Audit, Draft, Step } from '#audit';
import type { Connection, ProviderMatch } from '#connect';
import { type Clock, type FaultCode, isFault, type Log, type RequestId, type RunId } from '#kernel';
import type { Policy, Question } from '#policy';
import { type Changes, stalest, type Topic } from '#store';
import type { Allowed, Broker, Call, Exchange, LiveRun } from './contract.ts';
import type { Place, Places } from './places.ts';
import type { RunState, Runs } from './runs.ts';

/** An exchange that was allowed and is not reported yet. */
export interface Open {
  verdict: Allowed;
  readonly run: RunState;
  readonly host: string;
  readonly port: number;
  /** What was asked of policy; undefined for a host without a connection. */
  readonly question: Question | undefined;
  readonly connection: Connection | undefined;
  readonly match: ProviderMatch | undefined;
  readonly call: Call;
  readonly steps: Step[];
  /** Monotonic milliseconds. */
  readonly started: number;
  /** When the run or the permission ends by itself, milliseconds since 1970. */
  readonly endsAt: number;
}

interface Deps {
  readonly runs: Runs;
  readonly places: Places;
  readonly policy: Policy;
  readonly audit: Audit;
  readonly changes: Changes;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is under way: told to the record when it ends, and cut when it may not go on. */
export interface Exchanges {
  open(exchange: Open): void;
  get(exchange: RequestId): Open | undefined;
  report(exchange: Exchange): void;
  tunnel: Broker['tunnel'];
  ended: Broker['ended'];
  close(): void;
}

type Listener = Parameters<Broker['ended']>[0];

const watched: readonly Topic[] = ['identity', 'policy', 'connections', 'providers', 'revocations'];
/** How often the state of the database and the end of permissions are looked at, in milliseconds. */
const beat = 250;
/** Exchanges judged again before other work gets its turn. */
const batch = 500;

export function createExchanges(deps: Deps): Exchanges {
  const open = new Map<RequestId, Open>();
  const tunnels = new Map<RunId, { readonly run: LiveRun; count: number }>();
  const listeners = new Set<Listener>();
  const tell: Listener = (what, code) => {
    for (const listener of listeners) listener(what, code);
  };
  const watcher = createWatcher(deps, { open, tunnels, tell });

  return Object.freeze({
    open: (exchange: Open) => void open.set(exchange.verdict.exchange, exchange),
    get: (exchange: RequestId) => open.get(exchange),
    report(exchange: Exchange) {
      const found = open.get(exchange.verdict.exchange);
      if (!found) return;
      open.delete(exchange.verdict.exchange);
      deps.audit.exchange(finished(exchange, found), 'soon').catch((cause: unknown) => {
        deps.log.error('the end of a call could not be recorded', { exchange: exchange.verdict.exchange, cause });
      });
    },
    tunnel: (...[run, target, end]: Parameters<Broker['tunnel']>) => tunnel(deps.audit, tunnels, run, target, end),
    ended(listener: Listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: watcher.close,
  });
}

function finished({ verdict, status, outcome, code, sent, received, scrubbed, steps: later }: Exchange, open: Open): Draft {
  const steps: Step[] = [];
  for (const { step, ms } of open.steps) steps.push({ step, ms: tenths(ms) });
  for (const { step, ms } of later) steps.push({ step, ms: tenths(ms - open.started) });
  const ms = steps.at(-1)?.ms ?? 0;
  return {
    name: 'call.finished',
    principal: verdict.run.principal,
    request: verdict.exchange,
    run: verdict.run.id,
    ...(verdict.connection ? { connection: verdict.connection.id } : {}),
    ...(verdict.permission ? { permission: verdict.permission } : {}),
    fields: { exchange: verdict.exchange, status, outcome, ...(code && { code }), sent, received, ms, steps, scrubbed },
  };
}

/** Milliseconds, to a tenth: more is noise. */
function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

async function tunnel(
  audit: Audit,
  tunnels: Map<RunId, { readonly run: LiveRun; count: number }>,
  run: LiveRun,
  { host, port }: { readonly host: string; readonly port: number },
  end: Parameters<Broker['tunnel']>[2],
): Promise<void> {
  const about = { principal: run.principal, run: run.id };
  const held = tunnels.get(run.id) ?? { run, count: 0 };
  held.count += end ? -1 : 1;
  if (held.count > 0) tunnels.set(run.id, held);
  else tunnels.delete(run.id);
  if (end) {
    const { sent, received, ms } = end;
    await audit.exchange({ ...about, name: 'tunnel.closed', fields: { host, port, sent, received, ms: Math.round(ms) } });
    return;
  }
  try {
    await audit.exchange({ ...about, name: 'tunnel.opened', fields: { host, port } });
  } catch (error) {
    held.count -= 1;
    if (held.count === 0) tunnels.delete(run.id);
    throw error;
  }
}

interface Work {
  readonly open: ReadonlyMap<RequestId, Open>;
  readonly tunnels: ReadonlyMap<RunId, { readonly run: LiveRun }>;
  readonly tell: Listener;
}

/**
 * Judges again what is under way after every change that could end it, one pass at a time, and on a beat: what ends by
 * the clock, and everything once this process can no longer learn what ended (SECURITY 16).
 */
function createWatcher(deps: Deps, work: Work) {
  let passing = false;
  let again = false;
  let lost = false;

  const judge = () => {
    again = true;
    if (passing) return;
    passing = true;
    passes()
      .catch((cause: unknown) => {
        // The next beat tries again.
        again = true;
        if (!isFault(cause, 'stale_revocations')) deps.log.error('open calls could not be judged again', { cause });
      })
      .finally(() => {
        passing = false;
      });
  };
  const passes = async () => {
    while (again) {
      again = false;
      await pass(deps, work);
    }
  };
  const onBeat = () => {
    const stale = deps.changes.age() > stalest;
    if (stale) for (const run of runsOf(work).keys()) work.tell({ run }, 'stale_revocations');
    else if (lost || again || endsByClock(work, deps.clock.now())) judge();
    lost = stale;
  };
  const stops = watched.map((topic) => deps.changes.watch(topic, () => (work.open.size + work.tunnels.size > 0 ? judge() : undefined)));
  const timer = setInterval(onBeat, beat);
  timer.unref();
  return {
    close() {
      clearInterval(timer);
      for (const stop of stops) stop();
    },
  };
}

function runsOf({ open, tunnels }: Work): ReadonlyMap<RunId, LiveRun> {
  const runs = new Map<RunId, LiveRun>();
  for (const { verdict } of open.values()) runs.set(verdict.run.id, verdict.run);
  for (const { run } of tunnels.values()) runs.set(run.id, run);
  return runs;
}

/** The run or the permission of something open has ended by itself. */
function endsByClock({ open }: Work, now: number): boolean {
  for (const { endsAt } of open.values()) if (endsAt <= now) return true;
  return false;
}

async function pass(deps: Deps, work: Work): Promise<void> {
  const standing = new Map<RunId, RunState>();
  for (const run of runsOf(work).values()) {
    const state = await standingOf(deps.runs, run);
    if (typeof state === 'string') work.tell({ run: run.id }, state);
    else standing.set(run.id, state);
  }
  let judged = 0;
  for (const one of [...work.open.values()]) {
    const run = standing.get(one.verdict.run.id);
    const code = run && (await reasonToEnd(deps, run, one));
    if (code) work.tell({ exchange: one.verdict.exchange }, code);
    if (++judged % batch === 0) await new Promise((next) => setImmediate(next));
  }
}

/** The run as it stands, or why it does not. */
async function standingOf(runs: Runs, run: LiveRun): Promise<RunState | FaultCode> {
  try {
    return await runs.standing(run.organization, run.id);
  } catch (error) {
    if (isFault(error, 'run_ended') || isFault(error, 'agent_not_active')) return error.code;
    throw error;
  }
}

async function reasonToEnd(deps: Deps, run: RunState, { question, connection, host, port }: Open): Promise<FaultCode | undefined> {
  if (!question || !connection) return undefined;
  const place: Place = await deps.places.of(run, host, port);
  const there = place.connections.get(connection.provider)?.some((one) => one.id === connection.id);
  if (!there) return 'connection_unknown';
  const facts = await deps.policy.facts(run.live.organization, run.asker);
  const decision = deps.policy.decide(facts, { ...question, agent: run.asker, at: deps.clock.now() });
  return decision.effect === 'deny' ? denied[decision.reason] : undefined;
}

/** Why policy denies, as the code a client sees. */
export const denied = {
  no_permission: 'policy_denied',
  denied_by_rule: 'policy_denied',
  ended: 'permission_ended',
  level: 'level_required',
  ambiguous: 'ambiguous_path',
  mint_credential: 'policy_denied',
} as const satisfies Record<string, FaultCode>;
