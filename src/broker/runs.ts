import { randomBytes } from 'node:crypto';
import type { Audit } from '#audit';
import type { Agent, Identity } from '#identity';
import { type AgentId, type Clock, Fault, type Level, newId, type OrganizationId, parseId, type RunId, Secret } from '#kernel';
import type { Question } from '#policy';
import { bearerKey, type Changes, type Ephemera, pageLimit, pageOf, type Records, rowOfCursor, stalest } from '#store';
import type { Vault } from '#vault';
import { runLife } from './authority.ts';
import type { Broker, LiveRun, RunView, StartRun } from './contract.ts';
import { Latest } from './latest.ts';
import { newSeed } from './placeholders.ts';
import type { RunQueries, RunRow } from './runs.sql.ts';
import { placeholdersLabel } from './sealed.ts';

/** SECURITY 3. */
const credentialLife = 5 * 60_000;

/** A run as this process knows it. What may change is checked on every request. */
export interface RunState {
  readonly live: LiveRun;
  readonly agent: Agent;
  readonly asker: Question['agent'];
  readonly seed: Secret<string>;
  /** Provider → connection name, chosen at its start. */
  readonly chosen: Readonly<Record<string, string>>;
  readonly expiresAt: number;
}

/** What a run is about, as it is stored. */
interface About {
  readonly program: string;
  readonly connections: Readonly<Record<string, string>>;
  readonly passed: readonly string[];
  /** The agent's epoch when it began: a suspension ends it for good (SECURITY 16). */
  readonly epoch: number;
}

export interface RunDeps {
  readonly records: Records;
  readonly ephemera: Ephemera;
  readonly changes: Changes;
  readonly identity: Identity;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly queries: RunQueries;
}

/** Runs: started, renewed, ended, and known again by their credential. */
export interface Runs {
  start(agent: Agent, request: StartRun): Promise<{ readonly run: RunId; readonly seed: Secret<string> } & Issued>;
  renew: Broker['renewRun'];
  end: Broker['endRun'];
  list: Broker['runs'];
  /** @throws {Fault} as `Broker.authenticateRun` */
  authenticate(credential: string): Promise<RunState>;
  /** The run of a tunnel that stands open. @throws {Fault} as `Broker.carriedRun` */
  carried(organization: OrganizationId, run: RunId): Promise<RunState>;
  /** The run as it stands now. @throws {Fault} `run_ended`, `agent_not_active`, `stale_revocations` */
  standing(organization: OrganizationId, run: RunId): Promise<RunState>;
}

interface Issued {
  readonly credential: Secret<string>;
  readonly expiresAt: number;
}

interface Held {
  readonly organization: OrganizationId;
  readonly run: RunId;
  readonly expiresAt: number;
}

interface Known {
  readonly row: Pick<RunRow, 'agent_id' | 'level' | 'expires_at' | 'ended_at' | 'renewed_at'>;
  readonly about: About;
  readonly seed: Secret<string>;
  /** Generation of what ended, when the row was read. */
  readonly generation: number;
  state: RunState | undefined;
  /** Generation of the directory at which the agent was last seen active, in the epoch of the run. */
  seenAt: number;
}

export function createRuns(deps: RunDeps): Runs {
  const held = new Latest<string, Held>(50_000);
  const known = new Latest<RunId, Known>(20_000);

  /** The run's row, read again whenever anything ended anywhere. */
  async function current(organization: OrganizationId, id: RunId): Promise<Known> {
    const found = known.get(id);
    const generation = deps.changes.generation('revocations');
    return found?.generation === generation ? found : read(organization, id, generation, found);
  }

  async function read(organization: OrganizationId, id: RunId, generation: number, found: Known | undefined): Promise<Known> {
    const row = await deps.queries.byId(organization, id);
    if (!row) throw new Fault('run_ended');
    const seed = found?.seed ?? (await deps.vault.disclose(placeholdersLabel(organization, id), row.placeholders_envelope));
    const fresh = { row, about: JSON.parse(row.about_json) as About, seed, generation, state: found?.state, seenAt: -1 };
    known.set(id, fresh);
    return fresh;
  }

  async function standing(organization: OrganizationId, id: RunId): Promise<RunState> {
    if (deps.changes.age() > stalest) throw new Fault('stale_revocations', { retryAfter: 1 });
    const generation = deps.changes.generation('identity');
    const found = known.get(id);
    const run = found?.generation === deps.changes.generation('revocations') ? found : await current(organization, id);
    if (run.row.ended_at !== null || run.row.expires_at <= deps.clock.now()) throw new Fault('run_ended');
    // Nothing in the directory changed since this agent was seen active.
    if (run.state && run.seenAt === generation) return run.state;
    const agent = await deps.identity.currentAgent(organization, run.row.agent_id);
    if (agent?.status !== 'active') throw new Fault('agent_not_active');
    if (agent.epoch !== run.about.epoch) throw new Fault('run_ended');
    if (run.state?.agent !== agent)
      run.state = stateOf(deps.identity, agent, {
        id,
        level: run.row.level as Level,
        seed: run.seed,
        chosen: run.about.connections,
        expiresAt: run.row.expires_at,
      });
    run.seenAt = generation;
    return run.state;
  }

  /** A tunnel outlives the credential that opened it for as long as whoever carries it renews the run. */
  async function carried(organization: OrganizationId, id: RunId): Promise<RunState> {
    const state = await standing(organization, id);
    const silent = ({ row }: Known) => row.renewed_at + credentialLife <= deps.clock.now();
    const found = known.get(id);
    if (found && !silent(found)) return state;
    if (silent(await read(organization, id, deps.changes.generation('revocations'), found))) throw new Fault('proxy_unauthenticated');
    return standing(organization, id);
  }

  async function look(key: string): Promise<Held> {
    const value = await deps.ephemera.get(key);
    const found = value === undefined ? undefined : heldOf(value);
    if (!found) throw new Fault('proxy_unauthenticated');
    held.set(key, found);
    return found;
  }

  return Object.freeze({
    start: (agent, request) => start(deps, agent, request),
    renew: (agent, run) => renew(deps, agent, run),
    end: (agent, run, reason) => end(deps, agent, run, reason),
    list: (organization, query) => list(deps, organization, query),
    standing,
    carried,
    async authenticate(credential) {
      if (deps.changes.age() > stalest) throw new Fault('stale_revocations', { retryAfter: 1 });
      if (!credentialShape.test(credential)) throw new Fault('proxy_unauthenticated');
      const key = bearerKey('run_credential', credential);
      const at = held.get(key) ?? (await look(key));
      if (at.expiresAt > deps.clock.now()) return standing(at.organization, at.run);
      held.delete(key);
      throw new Fault('proxy_unauthenticated');
    },
  } satisfies Runs);
}

const credentialShape = /^ghr_[A-Za-z0-9_-]{43}$/;

function heldOf(value: string): Held | undefined {
  const [organization = '', run = '', expiresAt = ''] = value.split(' ');
  const ids = { organization: parseId('org', organization), run: parseId('run', run) };
  return ids.organization && ids.run ? { organization: ids.organization, run: ids.run, expiresAt: Number(expiresAt) } : undefined;
}

type OfRun = Pick<RunState, 'seed' | 'chosen' | 'expiresAt'> & Pick<LiveRun, 'id' | 'level'>;

/** A run of this agent. */
export function stateOf(identity: Identity, agent: Agent, { id, level, seed, chosen, expiresAt }: OfRun): RunState {
  const principal = identity.principalOf(agent);
  const owner = agent.owner?.kind === 'user' ? agent.owner.id : undefined;
  const live = Object.freeze({ id, organization: agent.organization, agent: agent.id, level, principal });
  return Object.freeze({
    live,
    agent,
    asker: Object.freeze({ id: agent.id, handle: agent.handle, owner, confirmed: agent.confirmedAt !== undefined }),
    seed,
    chosen,
    expiresAt,
  });
}

async function start(deps: RunDeps, agent: Agent, request: StartRun) {
  const { clock, records, queries, identity, audit, vault } = deps;
  if (agent.status !== 'active') throw new Fault('agent_not_active');
  const now = clock.now();
  const { organization } = agent;
  const run = newId('run', now);
  const seed = newSeed();
  const envelope = await vault.enclose(placeholdersLabel(organization, run), seed);
  const principal = identity.principalOf(agent);
  const program = printable(request.program);
  const passed = request.passed.map(printable);
  const about: About = { program, passed, connections: request.connections, epoch: agent.epoch };
  await records.in(organization).write(async (tx) => {
    await queries.insert(tx, {
      id: run,
      organization_id: organization,
      created_at: now,
      agent_id: agent.id,
      subject_json: JSON.stringify(principal.subject),
      level: request.level,
      about_json: JSON.stringify(about),
      placeholders_envelope: envelope,
      renewed_at: now,
      expires_at: now + runLife,
      ended_at: null,
      version: 1,
    });
    await audit.record(tx, { name: 'run.started', principal, run, fields: { level: request.level, program, passed } });
  });
  return { run, seed, ...(await issue(deps, organization, run, now + runLife)) };
}

/** A name as it may stand in a listing: one line, no control characters. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?').slice(0, 255);
}

async function issue({ ephemera, clock }: RunDeps, organization: OrganizationId, run: RunId, ends: number): Promise<Issued> {
  const credential = `ghr_${randomBytes(32).toString('base64url')}`;
  const expiresAt = Math.min(clock.now() + credentialLife, ends);
  const life = Math.max(1, expiresAt - clock.now());
  await ephemera.put(bearerKey('run_credential', credential), `${organization} ${run} ${expiresAt}`, life);
  return { credential: new Secret(credential), expiresAt };
}

async function ownRun({ queries }: RunDeps, agent: Agent, run: RunId): Promise<RunRow> {
  const row = await queries.byId(agent.organization, run);
  if (row?.agent_id !== agent.id) throw new Fault('not_found');
  return row;
}

async function renew(deps: RunDeps, agent: Agent, run: RunId): Promise<Issued> {
  if (agent.status !== 'active') throw new Fault('agent_not_active');
  const row = await ownRun(deps, agent, run);
  const { epoch } = JSON.parse(row.about_json) as About;
  if (epoch !== agent.epoch || !(await deps.queries.renew(agent.organization, run, deps.clock.now()))) throw new Fault('run_ended');
  return issue(deps, agent.organization, run, row.expires_at);
}

async function end(deps: RunDeps, agent: Agent, run: RunId, reason: string): Promise<void> {
  await ownRun(deps, agent, run);
  const principal = deps.identity.principalOf(agent);
  await deps.records.in(agent.organization).write(async (tx) => {
    if (!(await deps.queries.end(tx, agent.organization, run, deps.clock.now()))) return;
    await tx.bump('revocations');
    await deps.audit.record(tx, { name: 'run.ended', principal, run, fields: { reason: printable(reason).slice(0, 100) } });
  });
}

type ListQuery = { readonly agent?: AgentId; readonly cursor?: string; readonly limit: number };

async function list({ queries, clock }: RunDeps, organization: OrganizationId, query: ListQuery) {
  const limit = pageLimit(query.limit);
  const before = query.cursor === undefined ? undefined : rowOfCursor(query.cursor);
  const rows = await queries.page(organization, { agent: query.agent, before, limit: limit + 1 });
  return pageOf(rows, limit, (row) => viewOf(row, clock.now()));
}

/** A run whose forwarder died is never told to have ended: it counts as ended when its last credential did. */
function viewOf(row: RunRow, now: number): RunView {
  const silentSince = Math.min(row.renewed_at + credentialLife, row.expires_at);
  return {
    id: row.id,
    agent: row.agent_id,
    level: row.level,
    program: (JSON.parse(row.about_json) as About).program,
    startedAt: row.created_at,
    endedAt: row.ended_at ?? (silentSince <= now ? silentSince : undefined),
  };
}
