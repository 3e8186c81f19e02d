import { isIP } from 'node:net';
import type { Audit } from '#audit';
import type { FaultCode, Log } from '#kernel';
import type { Admission, LiveRun } from './contract.ts';
import type { Own } from './own.ts';
import type { Places } from './places.ts';
import type { RunState, Runs } from './runs.ts';

export interface AdmitDeps {
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

/** Judges a tunnel; a refusal is on the record. */
export async function admit(deps: AdmitDeps, run: LiveRun, target: Target): Promise<Admission> {
  const admission = await admissionOf(deps, await deps.runs.standing(run.organization, run.id), target);
  if (admission.kind === 'refuse') recordRefusal(deps, run, target, admission.code);
  return admission;
}

/** Only hosts with a connection are intercepted; an address and our own never are. */
export async function admissionOf(
  { own, places, otherHosts }: Pick<AdmitDeps, 'own' | 'places' | 'otherHosts'>,
  run: RunState,
  { host, port }: Target,
): Promise<Admission> {
  if (own.is(host, port)) return { kind: 'refuse', code: 'own_host_refused' };
  const place = isIP(host) === 0 ? await places.of(run, host, port) : undefined;
  if (place?.connected) return { kind: 'intercept' };
  if (port === clearText && place && (await places.of(run, host, encrypted)).connected)
    return { kind: 'refuse', code: 'clear_text_refused' };
  if (otherHosts === 'blind') return { kind: 'blind' };
  const provider = place?.providers[0];
  return { kind: 'refuse', code: 'host_refused', ...(provider && { hint: connectingHint(provider.id) }) };
}

export function connectingHint(provider: string): string {
  return `connect it with: gatehouse login ${provider}`;
}

function recordRefusal({ audit, log }: AdmitDeps, run: LiveRun, { host, port }: Target, code: FaultCode): void {
  const fields = { host, port, code };
  audit.exchange({ name: 'tunnel.refused', principal: run.principal, run: run.id, fields }).catch((cause: unknown) => {
    log.error('a refused tunnel could not be recorded', { run: run.id, cause });
  });
}
