import { Fault } from '#kernel';
import type { EndedSince, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';

/** How long a verifier that knows everything may wait for news, milliseconds. */
const longestWait = 1_000;
/** Endings in one answer. */
const mostTold = 2_000;

/** Where a verifier stands: the organization's epoch, as after a restore everything is told anew, and the last row. */
interface Cursor {
  readonly epoch: number;
  readonly row: number;
}

/**
 * What ended after where a verifier stands; waits for it, where there is nothing yet. Verifiers elsewhere hold by this the
 * same exact set as each replica does. @throws {Fault} `stale_revocations`, `invalid_request`
 */
export async function endedSince(
  deps: IssuerDeps,
  at: Issuing,
  asked: { readonly after: string | undefined; readonly wait: number },
): Promise<EndedSince> {
  const { id } = at.organization;
  const given = asked.after === undefined ? undefined : cursorOf(asked.after);
  const issuing = deps.changes.generation('issuing');
  const began = performance.now();
  const ends = began + Math.min(asked.wait, longestWait);
  for (;;) {
    const knownAt = performance.now() - deps.changes.age();
    const { epoch } = await deps.identity.organization(id);
    const continues = given?.epoch === epoch;
    const from = continues ? given.row : 0;
    const found = await deps.endings.after(id, from, mostTold + 1);
    const left = ends - performance.now();
    const news = found.length > 0 || deps.changes.generation('issuing') !== issuing;
    if (continues && !news && left > 0) {
      await deps.endings.next(left);
      continue;
    }
    const imported = (await deps.importedKeys.published(id)).map(({ kid }) => kid);
    const keys = [...(await deps.keys.published(id)).map((key) => key.id), ...imported];
    const ended = found.slice(0, mostTold);
    const now = performance.now();
    return {
      issuer: at.issuer,
      epoch,
      whole: !continues,
      more: found.length > ended.length,
      cursor: `${epoch}.${ended.at(-1)?.row ?? from}`,
      keys,
      ended: ended.map(({ name, expiresAt }) => [name, Math.ceil(expiresAt / 1000)] as const),
      held: Math.floor(now - began),
      age: Math.ceil(now - knownAt),
    };
  }
}

function cursorOf(text: string): Cursor {
  const [, epoch, row] = /^(\d{1,15})\.(\d{1,15})$/.exec(text) ?? [];
  if (epoch === undefined || row === undefined) throw new Fault('invalid_request', { detail: 'The parameter after is not a cursor' });
  return { epoch: Number(epoch), row: Number(row) };
}
