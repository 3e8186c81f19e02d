import type { Audit, Draft, Step } from '#audit';
import { type Connect, type Connection, type Credential, isAmbiguous, type ProviderMatch, rests } from '#connect';
import { type Clock, Fault, type FaultCode, isFault, type Log } from '#kernel';
import type { Decision, Policy, Question } from '#policy';
import { type Changes, stalest } from '#store';
import type { Providers } from './catalogue.ts';
import { type Chosen, choose } from './choose.ts';
import type { Allowed, Broker, Call, Verdict } from './contract.ts';
import { denied, type Exchanges } from './exchanges.ts';
import { shownPath } from './injectors.ts';
import { Latest } from './latest.ts';
import { formOf, isOverridden } from './overrides.ts';
import type { Own } from './own.ts';
import { findPlaceholders, type Meaning, maskPlaceholders, meaningsFor } from './placeholders.ts';
import { type Place, type Places, stampOf } from './places.ts';
import { bringsOwnCredential, type Fitted, fitCall, type Placed, type Prepared, prepare, untouched } from './prepare.ts';
import type { RunState, Runs } from './runs.ts';

export interface DecideDeps {
  readonly runs: Runs;
  readonly places: Places;
  readonly providers: Providers;
  readonly exchanges: Exchanges;
  readonly connect: Connect;
  readonly policy: Policy;
  readonly audit: Audit;
  readonly changes: Changes;
  readonly clock: Clock;
  readonly log: Log;
  readonly own: Own;
  readonly publicUrl: string;
  readonly otherHosts: 'blind' | 'deny';
  readonly authorities: Readonly<Record<string, readonly string[]>>;
}

type Refused = Exclude<Verdict, { readonly kind: 'allow' }>;
type Permitted = Extract<Decision, { readonly effect: 'allow' }>;

/** A call with everything that was found out about it so far. */
export interface Asked {
  readonly call: Call;
  readonly run: RunState;
  readonly place: Place;
  /** Monotonic milliseconds. */
  readonly started: number;
  readonly placed: readonly Placed[];
  match?: ProviderMatch;
  connection?: Connection;
}

/** A new credential can be due several times while others change things, but not for ever. */
const mostRounds = 4;
/** A credential that ends sooner is asked for again at every call, so that it is refreshed in time. */
const soon = 60_000;
const longestRemembered = 256;

export interface Decider extends Pick<Broker, 'decide' | 'rejudge' | 'renew'> {
  /** What permissions and connections say of a call, before anything is opened; says in `asked` what it is about. */
  judge(asked: Asked): Promise<Refused | Judged>;
}

/** Decides calls. Allowed ones are on their way to the record and count as open when this returns. */
export function createDecider(deps: DecideDeps): Decider {
  const prepared = new Latest<string, { readonly stamp: number; readonly value: Prepared }>(10_000);
  const meanings = new Latest<string, { readonly generation: number; readonly value: ReadonlyMap<string, Meaning> }>(2_000);

  const matches = new Latest<string, { readonly generation: number; readonly value: readonly ProviderMatch[] }>(5_000);

  /** The run's placeholders in the call with what they mean; undefined when one is not of this run. */
  async function place(call: Call, run: RunState): Promise<readonly Placed[] | undefined> {
    const found = findPlaceholders(call);
    if (found.length === 0) return none;
    const generation = deps.changes.generation('providers');
    let known = meanings.get(run.live.id);
    if (known?.generation !== generation) {
      known = { generation, value: meaningsFor(run.seed, await deps.providers.all(run.live.organization)) };
      meanings.set(run.live.id, known);
    }
    const { value } = known;
    const placed = found.flatMap((one) => ({ ...one, meaning: value.get(one.text) }));
    return placed.every((one): one is Placed => one.meaning !== undefined) ? placed : undefined;
  }

  /** The credential, ready for the wire: from memory, unless it changed or ends soon. */
  async function ready(run: RunState, chosen: Chosen, at: Place, steps: Step[], started: number): Promise<Prepared> {
    const { connection, match } = chosen;
    const { entry } = match;
    const key = `${connection.id} ${connection.version} ${entry.host}:${entry.port}${entry.path ?? ''} ${run.live.agent}`;
    const known = prepared.get(key);
    if (known?.stamp === at.stamp && (known.value.expiresAt ?? Infinity) - soon > deps.clock.now()) return known.value;
    const credential = await deps.connect.fresh(run.live.principal, connection);
    const value = prepare(chosen, credential, at);
    prepared.set(key, { stamp: at.stamp, value });
    const step = credential.refreshed ? 'refreshed' : 'opened';
    if (!steps.some((one) => one.step === 'refreshed' || one.step === step)) steps.push({ step, ms: deps.clock.monotonic() - started });
    return value;
  }

  /** Agents repeat themselves: a match is remembered until a provider changes. */
  async function matching({ live }: RunState, { host, port, method, path }: Call): Promise<readonly ProviderMatch[]> {
    const generation = deps.changes.generation('providers');
    const key = `${live.organization} ${host}:${port} ${method} ${path}`;
    const known = matches.get(key);
    if (known?.generation === generation) return known.value;
    const value = await deps.connect.match(live.organization, { host, port, method, path });
    if (path.length <= longestRemembered) matches.set(key, { generation, value });
    return value;
  }

  async function decide(call: Call): Promise<Verdict> {
    const steps: Step[] = [{ step: 'identified', ms: 0 }];
    const settled = await settle(call, deps.clock.monotonic(), steps);
    return 'refused' in settled ? refuse(deps, settled.asked, settled.refused) : allow(deps, settled, steps);
  }

  /** Judges a call until nothing changed meanwhile. */
  async function settle(call: Call, started: number, steps: Step[]): Promise<Settled> {
    for (let round = 0; round < mostRounds; round++) {
      const stamp = everything(deps.changes);
      const run = await deps.runs.standing(call.run.organization, call.run.id);
      const at = await deps.places.of(run, call.host, call.port);
      const placed = await place(call, run);
      const asked: Asked = { call, run, place: at, started, placed: placed ?? none };
      const judged = placed ? await judge(asked) : refusal('placeholder_foreign');
      if (judged.kind !== 'permitted') return { asked, refused: judged };
      if (round === 0) steps.push({ step: 'decided', ms: deps.clock.monotonic() - started });
      const fitted = await fitTo(asked, judged, steps);
      if ('kind' in fitted) return { asked, refused: fitted };
      // Opening may have taken long: what was permitted then must still be permitted (SECURITY 11).
      if (everything(deps.changes) === stamp) return { asked, judged, fitted };
    }
    throw new Fault('busy', { retryAfter: 1 });
  }

  /** What is on record must be what leaves: another permission, connection or watch over its form is another call. */
  async function rejudge(verdict: Allowed): Promise<Allowed> {
    const open = deps.exchanges.get(verdict.exchange);
    if (!open) throw new Fault('busy', { retryAfter: 1 });
    const settled = await settle(open.call, open.started, []);
    if ('refused' in settled) throw new Fault(settled.refused.code, settled.refused);
    const { asked, judged, fitted } = settled;
    const same = judged.decision?.permission === verdict.permission && judged.chosen?.connection.id === verdict.connection?.id;
    if (!same || judged.form !== verdict.form) throw new Fault('busy', { retryAfter: 1 });
    open.verdict = Object.freeze({
      ...verdict,
      alteration: fitted.alteration,
      scrub: fitted.scrub,
      refreshable: fitted.refreshable,
      until: untilOf(deps, asked.run, judged.decision?.expiresAt, fitted.expiresAt),
    });
    return open.verdict;
  }

  async function judge(asked: Asked): Promise<Refused | Judged> {
    const { call, run, place: at } = asked;
    const early = refusedAtOnce(deps, asked);
    if (early) return early;
    if (!at.connected) return other(deps, asked);
    const found = await matching(run, call);
    if (found.length === 0) return isAmbiguous(call.method, call.path) ? refusal('ambiguous_path') : other(deps, asked);
    const meant = asked.placed.map((one) => one.meaning);
    const { publicUrl } = deps;
    const chosen = choose({ call, matches: found, place: at, chosen: run.chosen, meanings: meant, publicUrl });
    if ('kind' in chosen) return chosen;
    asked.match = chosen.match;
    asked.connection = chosen.connection;
    if (chosen.connection.status.kind === 'needs_attention') return attention(deps, chosen.connection);
    const question = questionOf(asked, chosen, deps.clock.now());
    const facts = await deps.policy.facts(run.live.organization, run.asker);
    const decision = deps.policy.decide(facts, question);
    if (decision.effect === 'deny') return deniedBy(decision);
    // A form may name another method: where that would not be permitted as well, it must not.
    const form = formOf(call);
    const asAnother = form && deps.policy.decide(facts, { ...question, ambiguous: true });
    if (asAnother?.effect !== 'deny') return { kind: 'permitted', chosen, decision, question, form: undefined };
    return form === 'sealed' ? deniedBy(asAnother) : { kind: 'permitted', chosen, decision, question, form };
  }

  async function fitTo(asked: Asked, { chosen, decision }: Judged, steps: Step[]): Promise<Fit | Refused> {
    const { call, place: at, placed } = asked;
    if (!chosen) return { ...untouched(at.connected ? at.clear : undefined), ...nothing };
    if (decision?.passCredential && bringsOwnCredential(call, at, placed)) {
      return placed.length > 0 ? refusal('placeholder_misplaced') : { ...untouched(), ...nothing };
    }
    try {
      const value = await ready(asked.run, chosen, at, steps, asked.started);
      if (!value.isFor(call.host)) throw new Fault('connection_unknown');
      const fitted = fitCall(value, call, placed, chosen.match.provider.id, at);
      if (fitted === 'misplaced') return refusal('placeholder_misplaced');
      return { ...fitted, expiresAt: value.expiresAt, refreshable: value.refreshable };
    } catch (error) {
      return unavailable(deps, chosen.connection, error);
    }
  }

  /** SECURITY 13: when it may be forced and how often is for connect to say; permission is asked for anew. */
  async function renew(verdict: Allowed): Promise<Allowed | undefined> {
    const open = deps.exchanges.get(verdict.exchange);
    if (!open?.connection || !open.question || !open.match) return undefined;
    const chosen = { match: open.match, connection: open.connection };
    const run = await deps.runs.standing(verdict.run.organization, verdict.run.id);
    const credential = await forced(deps, run, open.connection);
    if (!credential?.refreshed) return undefined;
    const at = await deps.places.of(run, open.host, open.port);
    const placed = (await place(open.call, run)) ?? none;
    const question = { ...open.question, at: deps.clock.now() };
    const decision = deps.policy.decide(await deps.policy.facts(run.live.organization, run.asker), question);
    const value = prepare(chosen, credential, at);
    const fitted = fitCall(value, open.call, placed, chosen.match.provider.id, at);
    if (decision.effect === 'deny' || fitted === 'misplaced' || !value.isFor(open.host)) return undefined;
    open.steps.push({ step: 'refreshed', ms: deps.clock.monotonic() - open.started });
    const until = untilOf(deps, run, decision.expiresAt, value.expiresAt);
    const scrub = [...new Set([...fitted.scrub, ...verdict.scrub])];
    open.verdict = Object.freeze({ ...verdict, alteration: fitted.alteration, scrub, until, refreshable: false });
    return open.verdict;
  }

  return { decide, judge, rejudge, renew };
}

/** A refresh that may not be forced, or that fails, leaves the upstream's own answer standing. */
async function forced({ connect, log }: DecideDeps, run: RunState, connection: Connection): Promise<Credential | undefined> {
  try {
    return await connect.fresh(run.live.principal, connection, { force: true });
  } catch (error) {
    if (!isFault(error)) throw error;
    log.info('a refused credential could not be renewed', { connection: connection.id, code: error.code });
    return undefined;
  }
}

const none: readonly Placed[] = [];
const nothing = { expiresAt: undefined, refreshable: false } as const;

/** The call is permitted: through a connection, or to a host without one. */
export interface Judged {
  readonly kind: 'permitted';
  readonly chosen: Chosen | undefined;
  readonly decision: Permitted | undefined;
  readonly question: Question | undefined;
  readonly form: Allowed['form'];
}

type Fit = Fitted & Pick<Prepared, 'expiresAt' | 'refreshable'>;

interface Cleared {
  readonly asked: Asked;
  readonly judged: Judged;
  readonly fitted: Fit;
}

type Settled = Cleared | { readonly asked: Asked; readonly refused: Refused };

/** Everything a decision rests on; it changes when any of it does. */
function everything(changes: Changes): number {
  return stampOf(changes) + changes.generation('policy') + changes.generation('revocations');
}

function refusal(code: FaultCode, more: Partial<Pick<Refused, 'detail' | 'hint' | 'url'>> = {}): Refused {
  return { kind: 'deny', code, ...more };
}

/** What no connection and no permission can change. */
function refusedAtOnce(deps: DecideDeps, { call, place }: Asked): Refused | undefined {
  if (deps.own.is(call.host, call.port)) return refusal('own_host_refused');
  if (/^(trace|track|connect)$/i.test(call.method)) return refusal('method_refused');
  if (call.scheme === 'http' && place.connectedByName) return refusal('clear_text_refused');
  return undefined;
}

/** A host without a connection: as the operator set, and never with a placeholder. */
function other(deps: DecideDeps, { placed }: Asked): Refused | Judged {
  if (deps.otherHosts === 'deny') return refusal('host_refused');
  if (placed.length > 0) return refusal('placeholder_misplaced');
  return { kind: 'permitted', chosen: undefined, decision: undefined, question: undefined, form: undefined };
}

/** What the permissions are asked. */
export function questionOf({ call, run }: Pick<Asked, 'call' | 'run'>, { match, connection }: Chosen, at: number): Question {
  const { id, provider, name } = connection;
  return {
    principal: run.live.principal,
    agent: run.asker,
    level: run.live.level,
    connection: { id, provider, name },
    call: { method: call.method, host: call.host, path: call.path },
    operation: match.operation,
    ambiguous: match.ambiguous || isOverridden(call),
    at,
  };
}

function deniedBy(decision: Exclude<Decision, { readonly effect: 'allow' }>): Refused {
  return refusal(denied[decision.reason], { hint: `${hints[decision.reason]}: ${decision.command}` });
}

const hints = {
  no_permission: 'permit it with',
  denied_by_rule: 'a rule denies it; end the rule with',
  ended: 'permit it again with',
  level: 'start it separated with',
  ambiguous: 'send the plain form, or permit it with',
  mint_credential: 'it makes or shows a credential; permit exactly that with',
} as const;

function attention({ publicUrl }: DecideDeps, connection: Connection): Refused {
  const { provider, name } = connection;
  const again = `connect it again with: gatehouse login ${provider} --connection ${name} --force`;
  const hint = rests(connection) ? 'its owner says first, in the browser, that it was them who connected it' : again;
  return { kind: 'need', what: 'attention', code: 'needs_attention', hint, url: `${publicUrl}/` };
}

/** A credential that cannot be had is an answer, not a crash; anything else is. */
function unavailable(deps: DecideDeps, connection: Connection, error: unknown): Refused {
  if (!isFault(error)) throw error;
  const { provider, name } = connection;
  if (error.code === 'needs_attention') return attention(deps, connection);
  if (error.code === 'connection_unknown') {
    const hint = `connect it with: gatehouse login ${provider} --connection ${name}`;
    return { kind: 'need', what: 'connection', code: 'connection_needed', hint, url: `${deps.publicUrl}/` };
  }
  if (error.code === 'credential_unavailable' || error.code === 'refresh_failed' || error.code === 'sealed_value_unreadable') {
    const detail = `The credential of ${provider}/${name} cannot be had right now`;
    return refusal(error.code === 'refresh_failed' ? 'refresh_failed' : 'credential_unavailable', { detail });
  }
  throw error;
}

/** SECURITY 16: no longer than what ended is known, nor than the run, the permission or the credential lives. */
function untilOf({ clock, changes }: DecideDeps, run: RunState, ...ends: readonly (number | undefined)[]): number {
  let life = stalest - changes.age();
  const now = clock.now();
  for (const end of [run.expiresAt, ...ends]) if (end !== undefined && end - now < life) life = end - now;
  if (life <= 0) throw new Fault('stale_revocations', { retryAfter: 1 });
  return clock.monotonic() + life;
}

function allow(deps: DecideDeps, { asked, judged, fitted }: Cleared, steps: Step[]): Allowed {
  const { call, run } = asked;
  const { chosen, decision, question } = judged;
  const until = untilOf(deps, run, decision?.expiresAt, fitted.expiresAt);
  const recorded = deps.audit.exchange(eventOf(asked, 'call.allowed', decision?.permission, { slots: fitted.slots }));
  // Whoever awaits it learns of a failure; nobody else needs to.
  recorded.catch(() => {});
  const verdict: Allowed = Object.freeze({
    kind: 'allow',
    exchange: call.request,
    run: run.live,
    connection: chosen && { id: chosen.connection.id, provider: chosen.connection.provider, name: chosen.connection.name },
    permission: decision?.permission,
    alteration: fitted.alteration,
    scrub: fitted.scrub,
    tokens: chosen?.match.tokens === true && fitted.scrub.length > 0,
    until,
    refreshable: fitted.refreshable,
    form: judged.form,
    recorded,
    ca: deps.authorities[call.host] ?? noAuthorities,
  });
  const { host, port } = call;
  const { match, connection } = chosen ?? {};
  const endsAt = Math.min(run.expiresAt, decision?.expiresAt ?? Infinity);
  deps.exchanges.open({ verdict, run, host, port, question, connection, match, call, steps, started: asked.started, endsAt });
  return verdict;
}

const noAuthorities: readonly string[] = [];

/** A refusal is on the record too, with its neighbours; the answer does not wait for it. */
function refuse(deps: DecideDeps, asked: Asked, verdict: Refused): Refused {
  deps.audit.exchange(eventOf(asked, 'call.denied', undefined, { code: verdict.code })).catch((cause: unknown) => {
    deps.log.error('a refusal could not be recorded', { request: asked.call.request, cause });
  });
  return verdict;
}

const longestPath = 1_024;

/** Never a credential: the query is left out, and so is what a path holds of one. */
function eventOf(asked: Asked, name: 'call.allowed' | 'call.denied', permission: Draft['permission'], more: Draft['fields']): Draft {
  const { call, run, match, connection, place } = asked;
  return {
    name,
    principal: run.live.principal,
    request: call.request,
    run: run.live.id,
    ...(connection ? { connection: connection.id } : {}),
    ...(permission ? { permission } : {}),
    fields: {
      exchange: call.request,
      level: run.live.level,
      method: call.method,
      host: call.host,
      port: call.port,
      path: maskPlaceholders(shownPath(call.path, place.pathShapes)).slice(0, longestPath),
      operation: match?.operation?.id ?? null,
      classes: match?.operation?.classes ?? [],
      provider: connection?.provider ?? match?.provider.id ?? null,
      credential: connection?.name ?? null,
      ...more,
    },
  };
}
