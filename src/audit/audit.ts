import { type Clock, Fault, type Log, newId } from '#kernel';
import type { Records, Writing } from '#store';
import type { Vault } from '#vault';
import { type Noted, prepare } from './body.ts';
import { createCheckpoints } from './checkpoints.ts';
import type { Audit, Draft } from './contract.ts';
import { append, auditQueries } from './events.sql.ts';
import { createFollowers } from './followers.ts';
import { follow } from './following.ts';
import { createGroups } from './groups.ts';
import { verifyOrganization } from './verification.ts';

export interface AuditDeps {
  readonly records: Records;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log: Log;
  /** `before`: an exchange's event is durable before the call goes out. `after`: within 50 ms, lost if the process is killed. */
  readonly mode: 'before' | 'after';
  /** Names this process's chains. Processes of one SQLite file share a chain, since it has one writer at a time. */
  readonly writer?: string;
}

/** Makes the audit trail. */
export function createAudit({ records, vault, clock, log, mode, writer = 'main' }: AuditDeps): Audit {
  const queries = auditQueries(records);
  const groups = createGroups({ queries, log, writer, mode });
  const checkpoints = createCheckpoints({ queries, vault, clock, log });
  const followers = createFollowers({ queries, clock, log });
  let closed = false;

  function noted(draft: Draft): Noted {
    const at = clock.now();
    return { draft, id: newId('evt', at), at };
  }

  return Object.freeze({
    async record(tx: Writing, ...drafts: readonly Draft[]) {
      const events = drafts.map((draft) => prepare(noted(draft), writer));
      for (const [organization, group] of Map.groupBy(events, (event) => event.organization)) await append(tx, organization, writer, group);
    },
    async exchange(draft: Draft, when: 'now' | 'soon' = 'now') {
      if (closed) throw new Fault('audit_unavailable');
      await groups.add(noted(draft), when);
    },
    search: queries.search,
    follow: (organization, query, position) => follow({ queries, clock }, organization, query, position),
    verify: (organization) => verifyOrganization({ queries, checkpoints }, organization),
    checkpoint: checkpoints.sign,
    subscribe: followers.add,
    flush: groups.flush,
    async close() {
      closed = true;
      followers.close();
      await groups.flush();
    },
  } satisfies Audit);
}
