import { isIP } from 'node:net';
import type { Audit } from '#audit';
import type { Log } from '#kernel';
import type { Admission, LiveRun } from './contract.ts';
import type { Own } from './own.ts';
import type { Places } from './places.ts';
import type { Runs } from './runs.ts';

interface Deps {
  readonly runs: Runs;
  readonly places: Places;
  readonly own: Own;
  readonly audit: Audit;
  readonly log: Log;
  readonly otherHosts: 'blind' | 'deny';
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** A tunnel to port 80 carries clear text, which a host with a connection never gets (`SECURITY.md`, invariant 4). */
const clearText = 80;
const encrypted = 443;

/** Only hosts with a connection are intercepted; an address and our own never are. */
export async function admit(deps: Deps, run: LiveRun, target: Target): Promise<Admission> {
  const { host, port } = target;
  if (deps.own.is(host, port)) return refuse(deps, run, target, { kind: 'refuse', code: 'own_host_refused' });
  const state = await deps.runs.standing(run.organization, run.id);
  const place = isIP(host) === 0 ? await deps.places.of(state, host, port) : undefined;
  if (place?.connected) return { kind: 'intercept' };
  if (port === clearText && isIP(host) === 0 && (await deps.places.of(state, host, encrypted))?.connected) {
    return refuse(deps, run, target, { kind: 'refuse', code: 'clear_text_refused' });
  }
  if (deps.otherHosts === 'blind') return { kind: 'blind' };
  const provider = place?.providers[0];
  const refusal = { kind: 'refuse', code: 'host_refused' } as const;
  return refuse(deps, run, target, provider ? { ...refusal, hint: `connect it with: gatehouse login ${provider.id}` } : refusal);
}

type Refusal = Extract<Admission, { readonly kind: 'refuse' }>;

function refuse({ audit, log }: Deps, run: LiveRun, { host, port }: Target, refusal: Refusal): Refusal {
  const fields = { host, port, code: refusal.code };
  audit.exchange({ name: 'tunnel.refused', principal: run.principal, run: run.id, fields }).catch((cause: unknown) => {
    log.error('a refused tunnel could not be recorded', { run: run.id, cause });
  });
  return refusal;
}
