import type { Allowed, Exchange as Report } from '#broker';
import { Fault, type FaultCode, isFault, type RequestId } from '#kernel';
import { Answer, type AnswerUser } from './answer.ts';
import type { ClientConnection, ClientUser } from './client.ts';
import type { Timed } from './deadlines.ts';
import { type ConnectionTokens, connectionTokens, endsHere, passingTrailers } from './fields.ts';
import { type FormGuard, formGuard } from './form.ts';
import { chunkParts, type Framing, lastChunkWith } from './framing.ts';
import type { Fields, RequestHead, ResponseHead } from './head.ts';
import { type Altered, alter } from './inject.ts';
import { Ledger } from './ledger.ts';
import type { Cuttable, Plane } from './plane.ts';
import { refusalOf } from './refusal.ts';
import { maskText, type Sieve, sieveFor } from './scrub.ts';
import { fieldValue, hostText, type Target } from './target.ts';
import { Upgraded } from './upgraded.ts';
import type { Upstream, UpstreamUser } from './upstream.ts';

/** One request, parsed and judged by its shape, before it is decided. */
export interface Ask {
  readonly head: RequestHead;
  readonly target: Target;
  readonly framing: Framing;
  readonly tokens: ConnectionTokens;
  readonly request: RequestId;
  readonly upgrade: 'websocket' | undefined;
  /** False for a field that would carry the run's own credential upstream. */
  readonly keep: (name: string, value: string) => boolean;
}

/** RFC 9110 §9.2.2, but TRACE, which is refused. */
const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** A connection that was dialled waits in the pool meanwhile, so that one is the rule. */
const mostRejudged = 3;

/** Fields that would make an answer unreadable for the scrubber. */
const unscrubbable: ReadonlySet<string> = new Set(['accept-encoding', 'range', 'if-range', 'sec-websocket-extensions']);

/** One allowed call: from the verdict to its report. */
export class Exchange implements ClientUser, UpstreamUser, AnswerUser, Timed, Cuttable {
  deadline = Number.POSITIVE_INFINITY;
  readonly #plane: Plane;
  readonly #client: ClientConnection;
  readonly #ask: Ask;
  readonly #ledger: Ledger;
  #verdict: Allowed;
  #sieve: Sieve | undefined;
  #upstream: Upstream | undefined;
  #answer: Answer | undefined;
  #upgraded: Upgraded | undefined;
  #over = false;
  #bodyStarted = false;
  #requestDone = false;
  /** What was sent of the body, for as long as the request can be repeated. */
  #replay: Buffer[] | undefined;
  #replaySize = 0;
  #trailers: Fields | undefined;
  readonly #form: FormGuard | undefined;
  #renewed = false;

  constructor(plane: Plane, client: ClientConnection, ask: Ask, verdict: Allowed) {
    this.#plane = plane;
    this.#client = client;
    this.#ask = ask;
    this.#ledger = new Ledger(plane);
    this.#replay = idempotent.has(ask.head.method) ? [] : undefined;
    this.#form = verdict.form === undefined ? undefined : formGuard(verdict.form);
    this.#verdict = verdict;
    this.#adopt(verdict);
  }

  /** Makes the call. Never throws: whatever happens is answered and reported. */
  start(): void {
    this.#plane.deadlines.watch(this);
    this.#client.engage(this);
    if (this.#client.over) this.clientGone();
    else this.#attempt(true).catch((error: unknown) => this.#fail(error));
  }

  #adopt(verdict: Allowed): void {
    this.#hold(verdict);
    this.#plane.work.add(verdict.run, this, verdict.exchange);
  }

  #hold(verdict: Allowed): void {
    this.#verdict = verdict;
    this.#sieve = verdict.scrub.length === 0 ? undefined : sieveFor(verdict.scrub);
  }

  async #attempt(reuse: boolean, rejudged = 0): Promise<void> {
    const verdict = this.#verdict;
    const altered = this.#alter(verdict);
    const upstream = await this.#connected(verdict, reuse);
    const late = this.#plane.clock.monotonic() > verdict.until;
    if (!this.#over && !late) return this.#send(upstream, altered);
    this.#plane.pool.give(upstream);
    if (this.#over) return;
    if (rejudged === mostRejudged) throw new Fault('upstream_timeout', { detail: 'Reaching the upstream took too long' });
    // Reaching it took longer than the decision holds: what was permitted then must still be (SECURITY 11).
    this.#hold(await this.#plane.broker.rejudge(verdict));
    if (!this.#over) await this.#attempt(true, rejudged + 1);
  }

  #alter(verdict: Allowed): Altered {
    const { head, target, tokens, keep } = this.#ask;
    const kept = this.#sieve === undefined ? keep : (name: string, value: string) => !unscrubbable.has(name) && keep(name, value);
    const altered = alter(head, target, tokens, verdict.alteration, kept);
    this.#ledger.step('injected');
    return altered;
  }

  /** A connection to write on, and the record of the call durable: both, before the first byte leaves (SECURITY 21). */
  async #connected(verdict: Allowed, reuse: boolean): Promise<Upstream> {
    const { pool } = this.#plane;
    const key = this.#key(verdict);
    const idle = reuse ? pool.take(key, this.#replay === undefined) : undefined;
    const dialling = idle === undefined ? pool.dial(key, () => this.#dial(verdict)) : undefined;
    // It may fail while the record is still waited for; without a listener that would end the process.
    dialling?.catch(() => {});
    try {
      await verdict.recorded;
      this.#ledger.step('recorded');
    } catch (error) {
      if (idle !== undefined) pool.give(idle);
      dialling?.then((upstream) => pool.give(upstream)).catch(() => {});
      throw error;
    }
    if (idle?.reusable) return idle;
    const upstream = await (dialling ?? pool.dial(key, () => this.#dial(verdict)));
    this.#ledger.step('dialled');
    return upstream;
  }

  #key({ run, connection, ca }: Allowed): string {
    const { scheme, host, port } = this.#ask.target;
    return `${run.organization}|${connection?.id ?? 'none'}|${scheme}|${host}|${port}|${ca.join('')}`;
  }

  async #dial(verdict: Allowed) {
    const { net, limits } = this.#plane;
    const { scheme, host, port } = this.#ask.target;
    const options = { timeout: limits.connectTimeout };
    const judged = await net.judge(host, port, options);
    if (scheme === 'http') return net.dial(judged, options);
    return net.dialTls(judged, { servername: host, ca: verdict.ca, alpn: ['http/1.1'] }, options);
  }

  #send(upstream: Upstream, altered: Altered): void {
    this.#upstream = upstream;
    upstream.begin(this, this.#ask.head.method);
    upstream.wire.put(this.#renderHead(altered));
    this.#touch();
    if (this.#bodyStarted) this.#sendAgain();
    else {
      this.#bodyStarted = true;
      this.#client.startBody(this.#ask.framing);
    }
    upstream.wire.flush();
  }

  #renderHead({ origin, fields }: Altered): string {
    const { head, framing, upgrade } = this.#ask;
    let text = `${head.method} ${origin} HTTP/1.1\r\n`;
    for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
    if (framing.kind === 'chunked') text += 'Transfer-Encoding: chunked\r\n';
    if (this.#sieve !== undefined) text += 'Accept-Encoding: identity\r\n';
    if (upgrade !== undefined) text += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`;
    else if (head.names.includes('te') && /\btrailers\b/i.test(fieldValue(head, 'te') ?? '')) text += 'Connection: TE\r\nTE: trailers\r\n';
    if (!head.names.includes('host')) text += `Host: ${hostText(this.#ask.target)}\r\n`;
    return `${text}\r\n`;
  }

  #sendAgain(): void {
    for (const slice of this.#replay ?? []) this.#putBody(slice);
    if (this.#requestDone) this.#putEnd();
    else this.#client.wire.resume();
  }

  // The request's body, from the client.

  requestBody(slice: Buffer): void {
    if (this.#over) return;
    if (this.#form?.(slice)) {
      this.#fail(new Fault('ambiguous_path', { detail: 'A field of the form names another method' }));
      return;
    }
    this.#ledger.sent += slice.length;
    if (this.#replay !== undefined) {
      this.#replaySize += slice.length;
      if (this.#replaySize > this.#plane.limits.replayBytes) this.#replay = undefined;
      else this.#replay.push(slice);
    }
    this.#putBody(slice);
  }

  #putBody(slice: Buffer): void {
    const wire = this.#upstream?.wire;
    if (wire === undefined) return;
    if (this.#ask.framing.kind !== 'chunked') wire.put(slice);
    else for (const part of chunkParts(slice)) wire.put(part);
  }

  #putEnd(): void {
    const trailers = this.#trailers;
    if (this.#ask.framing.kind === 'chunked') this.#upstream?.wire.put(lastChunkWith(trailers ?? { pairs: [], names: [] }));
  }

  requestEnded(trailers: Fields | undefined): void {
    this.#requestDone = true;
    this.#trailers = trailers === undefined ? undefined : passingTrailers(trailers, this.#verdict.alteration.clear.headers);
    this.#putEnd();
    this.#touch();
  }

  requestRead(): void {
    const wire = this.#upstream?.wire;
    if (wire === undefined || this.#over) return;
    wire.flush();
    this.#touch();
    if (wire.full && !this.#requestDone) this.#client.wire.pause();
  }

  upstreamDrained(): void {
    this.#touch();
    if (this.#upgraded !== undefined) this.#client.wire.resume();
    else if (!this.#requestDone) this.#client.wire.resume();
  }

  requestBroken(fault: Fault): void {
    this.#fail(fault);
  }

  // The answer, from the upstream.

  informational(head: ResponseHead): void {
    if (this.#over || this.#ask.head.minor === 0) return;
    this.#touch();
    const tokens = connectionTokens(head);
    let text = `HTTP/1.1 ${head.status} ${maskText(head.reason, this.#sieve)}\r\n`;
    head.pairs.forEach(([name, value], i) => {
      if (!endsHere(head.names[i] as string, tokens)) text += `${maskText(name, this.#sieve)}: ${maskText(value, this.#sieve)}\r\n`;
    });
    this.#client.wire.put(`${text}\r\n`);
  }

  answered(head: ResponseHead, framing: Framing, bytes: Buffer): 'body' | 'hold' | 'raw' {
    this.#ledger.status = head.status;
    this.#ledger.step('answered');
    this.#touch();
    if (head.status === 401 && this.#verdict.refreshable && !this.#renewed) {
      this.#renewed = true;
      // While the body is still on its way the answer cannot wait; the next call has the new credential all the same.
      if (!this.#requestDone) void this.#renewal(this.#verdict);
      else {
        this.#renew(head, framing, Buffer.from(bytes)).catch((error: unknown) => this.#fail(error));
        return 'hold';
      }
    }
    return this.#forward(head, framing, bytes);
  }

  #forward(head: ResponseHead, framing: Framing, bytes: Buffer): 'body' | 'raw' {
    if (head.status === 101) return this.#switchProtocols(head);
    const { method, minor } = this.#ask.head;
    // A client that waits for 100 may never send its body: then nobody knows where its next request begins.
    const unsent = !this.#requestDone && this.#ask.head.names.includes('expect');
    const close = minor === 0 || this.#ask.tokens.close || this.#plane.draining || unsent;
    try {
      this.#answer = new Answer(this.#client.wire, this, head, framing, bytes, this.#sieve, {
        method,
        minor,
        close,
        tokens: this.#verdict.tokens,
      });
    } catch (error) {
      this.#fail(error);
    }
    return 'body';
  }

  #renewal(verdict: Allowed): Promise<Allowed | undefined> {
    const { broker, log } = this.#plane;
    return broker.renew(verdict).catch((error: unknown) => {
      log.info('a credential could not be renewed', { exchange: verdict.exchange, code: isFault(error) ? error.code : 'internal' });
      return undefined;
    });
  }

  /** SECURITY 13: once. Only a request that can safely be sent again is; of any other the 401 is the answer. */
  async #renew(head: ResponseHead, framing: Framing, bytes: Buffer): Promise<void> {
    this.deadline = Number.POSITIVE_INFINITY;
    const before = this.#verdict;
    const next = await this.#renewal(before);
    if (next === undefined || this.#replay === undefined || this.#over) {
      next?.recorded.catch(() => {});
      if (next !== undefined && next.exchange !== before.exchange) new Ledger(this.#plane).report(next, 'client_gone', undefined);
      if (!this.#over) this.#upstream?.proceed(this.#forward(head, framing, bytes) === 'raw');
      this.upstreamRead();
      return;
    }
    this.#upstream?.destroy();
    this.#upstream = undefined;
    this.#leaveWork();
    if (next.exchange !== before.exchange) {
      this.#ledger.report(before, 'answered', undefined);
      this.#ledger.reopen();
    }
    this.#adopt(next);
    await this.#attempt(true);
  }

  answerBody(slice: Buffer): void {
    if (this.#over) return;
    this.#ledger.received += slice.length;
    if (this.#answer?.push(slice) === false) this.#upstream?.wire.pause();
  }

  upstreamRead(): void {
    if (this.#over) return;
    const { wire } = this.#client;
    wire.flush();
    this.#touch();
    if (wire.full) this.#upstream?.wire.pause();
  }

  answerFlowed(): void {
    this.#touch();
    if (!this.#client.wire.full) this.#upstream?.wire.resume();
  }

  clientDrained(): void {
    this.#touch();
    this.#answer?.resume();
    this.#upstream?.wire.resume();
  }

  answerEnded(trailers: Fields | undefined): void {
    if (this.#over) return;
    const upstream = this.#upstream;
    this.#upstream = undefined;
    // An upstream that answered before it had the whole request cannot be told where the next one begins.
    if (upstream !== undefined) {
      if (this.#requestDone) this.#plane.pool.give(upstream);
      else upstream.destroy();
    }
    this.#answer?.end(trailers);
  }

  answerWhole(): void {
    if (this.#over) return;
    const close = this.#answer?.close ?? true;
    this.#settle('answered', undefined);
    this.#client.finish(close);
  }

  answerBroken(fault: Fault): void {
    this.#fail(fault);
  }

  upstreamFailed(fault: Fault, silent: boolean): void {
    if (this.#over) return;
    const again = silent && this.#upstream?.reused === true && this.#replay !== undefined;
    this.#upstream = undefined;
    if (!again) {
      this.#fail(fault);
      return;
    }
    // The peer closed an idle connection just as it was used; a request that may be repeated is, on a new one.
    this.deadline = Number.POSITIVE_INFINITY;
    this.#attempt(false).catch((error: unknown) => this.#fail(error));
  }

  // After 101: no longer HTTP.

  #switchProtocols(head: ResponseHead): 'body' | 'raw' {
    if (this.#ask.upgrade === undefined || fieldValue(head, 'upgrade')?.toLowerCase() !== this.#ask.upgrade) {
      this.#fail(new Fault('upstream_invalid', { detail: 'The upstream switched protocols unasked' }));
      return 'body';
    }
    const upstream = this.#upstream as Upstream;
    this.#upgraded = new Upgraded(this.#client.wire, upstream.wire, this.#sieve, this.#ledger);
    this.#upgraded.start(head);
    this.#client.startRaw();
    return 'raw';
  }

  rawFromClient(chunk: Buffer): void {
    this.#touch();
    this.#upgraded?.fromClient(chunk);
  }

  rawFromUpstream(chunk: Buffer): void {
    this.#touch();
    this.#upgraded?.fromUpstream(chunk);
  }

  clientEndedRaw(): void {
    this.#upstream?.wire.end();
    if (this.#upgraded?.ended('client')) this.#closeRaw();
  }

  upstreamClosedRaw(): void {
    if (this.#over) return;
    if (this.#upgraded?.ended('upstream')) this.#closeRaw();
    else this.#client.wire.end();
  }

  #closeRaw(): void {
    this.#settle('answered', undefined);
    this.#upstream?.wire.end();
    this.#client.linger();
  }

  // The end, whichever comes first.

  clientGone(): void {
    if (this.#over) return;
    const outcome = this.#upgraded === undefined ? 'client_gone' : 'answered';
    this.#settle(outcome, undefined);
    this.#upstream?.destroy();
    this.#client.abort();
  }

  cut(code: FaultCode): void {
    if (this.#over) return;
    this.#settle('cut', code);
    this.#upstream?.destroy();
    if (this.#answer === undefined && this.#upgraded === undefined) this.#client.refuse(refusalOf(new Fault(code)), { close: true });
    else this.#client.abort();
  }

  expired(): void {
    const waitsForClient = this.#client.wire.full || (!this.#requestDone && this.#upstream?.wire.full === false);
    if (waitsForClient) this.clientGone();
    else this.#fail(new Fault('upstream_timeout'));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    const fault = isFault(error) ? error : new Fault('internal', { cause: error });
    if (fault.code === 'internal') this.#plane.log.error('an exchange failed', { exchange: this.#verdict.exchange, cause: error });
    this.#settle(outcomeOf(fault.code), fault.code);
    this.#upstream?.destroy();
    if (this.#answer === undefined && this.#upgraded === undefined) {
      this.#client.refuse(refusalOf(fault), { close: fault.code === 'bad_framing', request: this.#ask.request });
    } else this.#client.abort();
  }

  #settle(outcome: Report['outcome'], code: FaultCode | undefined): void {
    this.#over = true;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#plane.deadlines.forget(this);
    this.#leaveWork();
    this.#ledger.scrubbed += (this.#answer?.masked ?? 0) + (this.#upgraded?.masked ?? 0);
    this.#answer?.destroy();
    this.#ledger.report(this.#verdict, outcome, code);
  }

  #leaveWork(): void {
    this.#plane.work.remove(this.#verdict.run, this, this.#verdict.exchange);
  }

  /** Something moved: the time in which nothing does begins anew. */
  #touch(): void {
    const { limits, clock } = this.#plane;
    const waiting = this.#requestDone && this.#answer === undefined && this.#upgraded === undefined;
    this.deadline = clock.monotonic() + (waiting ? limits.firstByteTimeout : limits.streamIdle);
  }
}

function outcomeOf(code: FaultCode): Report['outcome'] {
  return code.startsWith('upstream_') || code === 'encoding_refused' || code === 'address_refused' ? 'upstream_failed' : 'refused';
}
