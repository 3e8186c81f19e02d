import type { LiveRun, Verdict } from '#broker';
import { Fault, type FaultCode, isFault, newId, type RequestId } from '#kernel';
import type { ClientConnection } from './client.ts';
import { type Ask, Exchange } from './exchange.ts';
import { connectionTokens } from './fields.ts';
import { requestFraming } from './framing.ts';
import type { RequestHead } from './head.ts';
import { tokenForms } from './needles.ts';
import type { Plane } from './plane.ts';
import { refusalOf } from './refusal.ts';
import { holdsAny, type Sieve, sieveOfNeedles } from './scrub.ts';
import { fieldValue, type Target } from './target.ts';

/** Who opened a tunnel, and with what. */
export interface Opener {
  readonly run: LiveRun;
  readonly credential: string;
}

/** Serves a request inside a tunnel. */
export function serveTunnelled(client: ClientConnection, head: RequestHead, bytes: Buffer, target: Target, opener: Opener): void {
  tunnelledRequest(client, head, bytes, target, opener).catch((error: unknown) => refuseError(client, error, undefined));
}

async function tunnelledRequest(
  client: ClientConnection,
  head: RequestHead,
  bytes: Buffer,
  target: Target,
  { run: opened, credential }: Opener,
): Promise<void> {
  const ask = judge(client.plane, head, target, bytes, credential);
  await client.plane.turns.next();
  // Expiry, suspension and permission hold for every request of an open tunnel (SECURITY 3).
  const run = await client.plane.broker.carriedRun(opened);
  await decideAndMake(client, ask, run);
}

/** What can be judged of a request without knowing who asks. @throws {Fault} `bad_framing`, `method_refused` */
export function judge(plane: Plane, head: RequestHead, target: Target, bytes: Buffer, credential: string): Ask {
  const framing = requestFraming(head);
  const tokens = connectionTokens(head);
  if (head.method === 'TRACE' || head.method === 'CONNECT') throw new Fault('method_refused');
  const asked = tokens.upgrade && head.method === 'GET' && framing.kind === 'none' ? fieldValue(head, 'upgrade') : undefined;
  const upgrade = asked?.toLowerCase() === 'websocket' ? 'websocket' : undefined;
  const request = newId('req', plane.clock.now());
  return { head, target, framing, tokens, request, upgrade, keep: keeper(target, bytes, credential) };
}

const keepAll = () => true;

/** The run's credential goes nowhere but to us, whatever field a program puts it in. @throws {Fault} `placeholder_misplaced` in the target */
function keeper(target: Target, bytes: Buffer, credential: string): Ask['keep'] {
  if (credential === '') return keepAll;
  const sieve = tokenSieve(credential);
  if (!holdsAny(bytes, sieve)) return keepAll;
  if (holdsAny(Buffer.from(target.origin, 'latin1'), sieve)) throw new Fault('placeholder_misplaced');
  return (_, value) => !holdsAny(Buffer.from(value, 'latin1'), sieve);
}

const rememberedTokens = 256;
const tokens = new Map<string, Sieve>();

function tokenSieve(token: string): Sieve {
  let sieve = tokens.get(token);
  if (sieve === undefined) {
    sieve = sieveOfNeedles(tokenForms(token));
    if (tokens.size >= rememberedTokens) tokens.clear();
    tokens.set(token, sieve);
  }
  return sieve;
}

/**
 * The run behind a credential. A wrong one is refused slower and slower to the same address.
 * @throws {Fault} as `Broker.authenticateRun`
 */
export async function authenticated(client: ClientConnection, credential: string | undefined): Promise<LiveRun> {
  const { broker, throttle } = client.plane;
  if (credential === undefined) throw new Fault('proxy_unauthenticated');
  try {
    return await broker.authenticateRun(credential);
  } catch (error) {
    if (isFault(error, 'proxy_unauthenticated')) await pause(throttle.bad(client.remote));
    throw error;
  }
}

function pause(milliseconds: number): Promise<void> | undefined {
  if (milliseconds === 0) return undefined;
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}

/** Asks the broker, then makes the call or says why not. */
export async function decideAndMake(client: ClientConnection, ask: Ask, run: LiveRun): Promise<void> {
  const { plane } = client;
  const { head, target, request } = ask;
  if (plane.closing) throw new Fault('shutting_down');
  const verdict = await plane.broker.decide({
    run,
    request,
    scheme: target.scheme,
    method: head.method,
    host: target.host,
    port: target.port,
    path: target.path,
    query: target.query,
    headers: head.pairs,
    upgrade: ask.upgrade,
  });
  if (verdict.kind === 'allow') new Exchange(plane, client, ask, verdict).start();
  else refuseVerdict(client, verdict, request);
}

function refuseVerdict(client: ClientConnection, verdict: Exclude<Verdict, { kind: 'allow' }>, request: RequestId): void {
  const { detail, hint, url } = verdict;
  client.refuse({ ...refusalOf(new Fault(verdict.code)), detail, hint, url }, { request });
}

/** After these nothing more can come of the connection. A tunnel whose run is no longer carried must be opened anew. */
const closing: ReadonlySet<FaultCode> = new Set(['bad_framing', 'host_mismatch']);

/** Answers what went wrong before there was a verdict. */
export function refuseError(client: ClientConnection, error: unknown, request: RequestId | undefined): void {
  const refusal = refusalOf(error);
  if (refusal.code === 'internal') client.plane.log.error('a request failed', { cause: error });
  const close = closing.has(refusal.code) || (client.tunnelled && refusal.code === 'proxy_unauthenticated');
  client.refuse(refusal, request === undefined ? { close } : { close, request });
}
