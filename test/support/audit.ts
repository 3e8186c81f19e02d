import { type Audit, type AuditDeps, createAudit } from '#audit';
import { type Clock, silentLog } from '#kernel';
import type { TestStore } from './store.ts';
import { openTestVault } from './vault.ts';

/** The real audit trail on a test store, with a vault of its own unless one is given. */
export async function openTestAudit(store: TestStore<Clock>, deps: Partial<AuditDeps> = {}): Promise<Audit> {
  const vault = deps.vault ?? (await openTestVault(store));
  return createAudit({ records: store.records, clock: store.clock, log: silentLog, mode: 'before', ...deps, vault });
}
