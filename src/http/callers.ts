import type { CallerKind } from '#api';
import type { Agent, AgentStatus } from '#identity';
import { Fault, type Principal } from '#kernel';
import type { Session } from '#signin';
import type { Evidence } from './contract.ts';
import type { Cookies } from './cookies.ts';
import type { Hosts } from './hosts.ts';
import type { Incoming } from './incoming.ts';

/** Who asks, proved by one kind of evidence. */
export type Caller =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'browser' | 'command_line'; readonly session: Session; readonly principal: Principal }
  | { readonly kind: 'agent'; readonly agent: Agent; readonly principal: Principal };

export interface CallerDeps {
  readonly evidence: Evidence;
  readonly cookies: Cookies;
  readonly hosts: Hosts;
  readonly principalOf: (agent: Agent) => Principal;
}

/** Which callers something is for, and how an agent must stand. */
export interface Admission {
  readonly callers: readonly CallerKind[];
  readonly standing: readonly AgentStatus[];
}

/**
 * Who is calling, if this route takes that kind of caller. A run's proxy credential is nobody here, however it is
 * sent (SECURITY 3). @throws {Fault} `unauthenticated`, `forbidden`, and those of the evidence
 */
export async function callerOf(deps: CallerDeps, request: Incoming, takes: Admission): Promise<Caller> {
  refuseProxyCredential(request);
  if (takes.callers.includes('anyone')) return { kind: 'anyone' };
  const caller = await proven(deps, request, takes);
  if (caller.kind === 'anyone') throw new Fault('unauthenticated');
  if (!takes.callers.includes(caller.kind)) throw new Fault('forbidden', { hint: `this address is for: ${takes.callers.join(', ')}` });
  return caller;
}

async function proven(deps: CallerDeps, request: Incoming, takes: Admission): Promise<Caller> {
  const { authorization, cookie } = request.headers;
  if (authorization !== undefined) return byHeader(deps, request, authorization, takes);
  if (request.local) return asPerson('command_line', await deps.evidence.local());
  const bearer = deps.cookies.session(cookie);
  if (bearer === undefined) return { kind: 'anyone' };
  if (request.unsafe) deps.hosts.checkSameSite(request.headers);
  return asPerson('browser', await deps.evidence.browser(bearer));
}

async function byHeader(deps: CallerDeps, request: Incoming, authorization: string, takes: Admission): Promise<Caller> {
  const [scheme = '', value = ''] = authorization.split(/ +/, 2);
  switch (scheme.toLowerCase()) {
    case 'pop': {
      const agent = await deps.evidence.agent(agentProof(deps.hosts, request, authorization), takes.standing);
      return { kind: 'agent', agent, principal: deps.principalOf(agent) };
    }
    case 'bearer':
      return asPerson('command_line', await deps.evidence.command_line(value));
    default:
      throw new Fault('unauthenticated');
  }
}

function asPerson(kind: 'browser' | 'command_line', session: Session): Caller {
  return { kind, session, principal: session.principal };
}

/** The proof (the whole header) and what it must be bound to. Of the URLs that are ours the one it names is checked; if none, the public one. */
export function agentProof(hosts: Hosts, request: Incoming, proof: string) {
  const targets = hosts.targets(request.headers.host, request.url, request.encrypted);
  const named = namedTarget(proof);
  const target = targets.find((own) => own === named) ?? targets[0] ?? '';
  return { proof, method: request.method, target, body: request.body };
}

/** The target a proof names, unchecked: it only picks which of our own URLs the proof is then verified against. */
function namedTarget(proof: string): string | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString());
    return typeof claims === 'object' && claims !== null && 'htu' in claims ? String(claims.htu) : undefined;
  } catch {
    return undefined;
  }
}

function refuseProxyCredential(request: Incoming): void {
  if (request.headers['proxy-authorization'] === undefined) return;
  throw new Fault('unauthenticated', { detail: 'Proxy credentials are taken by the proxy alone' });
}
