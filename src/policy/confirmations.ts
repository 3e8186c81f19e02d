import type { Audit } from '#audit';
import { type Clock, type ConfirmationId, Fault, newId, type OrganizationId, type Principal, type SessionId, type UserId } from '#kernel';
import { type Records, sha256, type Writing } from '#store';
import { canonical } from './canonical.ts';
import { type ConfirmationQueries, confirmationQueries, type StoredConfirmation } from './confirmations.sql.ts';
import type { ChangeKind, Confirmation, Policy } from './contract.ts';

const life = 15 * 60_000;

interface Deps {
  readonly records: Records;
  readonly audit: Audit;
  readonly clock: Clock;
}

type Apply = Parameters<Policy['answer']>[4];
type Confirmations = Pick<Policy, 'ask' | 'confirmation' | 'confirmations' | 'answer'>;

/** Changes that wait for a person: parked, shown, answered once (SECURITY 4). */
export function createConfirmations(deps: Deps): Confirmations {
  const { records, clock } = deps;
  const queries = confirmationQueries(records);
  return {
    ask: (by, kind, change) => ask(deps, queries, by, kind, change),
    confirmation: async (organization, id) => {
      const found = await queries.byId(organization, id, clock.now());
      return found === undefined ? undefined : shown(found);
    },
    confirmations: async (organization, query) => {
      const page = await queries.list(organization, query, clock.now());
      return { ...page, items: page.items.map(shown) };
    },
    async answer(by, session, id, answer, apply) {
      const person = personOf(by);
      await records.in(by.organization).write((tx) => answerIn(tx, { ...deps, queries, by, person, session, id, answer, apply }));
      return shown((await queries.byId(by.organization, id, clock.now())) as StoredConfirmation);
    },
  };
}

async function ask(
  { records, audit, clock }: Deps,
  queries: ConfirmationQueries,
  by: Principal,
  kind: ChangeKind,
  change: Readonly<Record<string, unknown>>,
): Promise<Confirmation> {
  const now = clock.now();
  const changeJson = canonical(change);
  const confirmation: Confirmation = {
    id: newId('cnf', now),
    organization: by.organization,
    kind,
    change: JSON.parse(changeJson) as Confirmation['change'],
    digest: digestOf(by.organization, kind, changeJson),
    requestedBy: by.actors[0] ?? by.subject,
    status: 'open',
    expiresAt: now + life,
    createdAt: now,
    result: undefined,
  };
  await records.in(by.organization).write(async (tx) => {
    await queries.insert(tx, confirmation, changeJson);
    const { id, digest } = confirmation;
    await audit.record(tx, { name: 'confirmation.asked', principal: by, fields: { confirmation: id, kind, digest } });
  });
  return confirmation;
}

interface Answer extends Deps {
  readonly queries: ConfirmationQueries;
  readonly by: Principal;
  readonly person: UserId;
  readonly session: SessionId;
  readonly id: ConfirmationId;
  readonly answer: 'yes' | 'no';
  readonly apply: Apply;
}

/** Spent, applied and recorded in one transaction: of any number of answers at once, one does it, and all of it. */
async function answerIn(tx: Writing, { queries, audit, clock, by, person, session, id, answer, apply }: Answer): Promise<void> {
  const now = clock.now();
  const confirmation = await queries.find(tx, by.organization, id, now);
  if (confirmation === undefined || confirmation.status !== 'open') throw new Fault('confirmation_ended');
  const { kind, digest } = confirmation;
  if (digestOf(by.organization, kind, canonical(confirmation.change)) !== digest) throw new Fault('confirmation_ended');
  const status = answer === 'yes' ? 'confirmed' : 'refused';
  if (!(await queries.spend(tx, confirmation, status, person, now))) throw new Fault('confirmation_ended');
  if (answer === 'no') {
    await audit.record(tx, { name: 'confirmation.refused', principal: by, fields: { confirmation: id, kind } });
    return;
  }
  await audit.record(tx, { name: 'confirmation.given', principal: by, fields: { confirmation: id, kind, digest, session } });
  await queries.keepResult(tx, confirmation, await apply(tx, shown(confirmation)));
}

/** Only a person for themselves: never an agent, nor anybody who acts for another. */
function personOf({ subject, actors }: Principal): UserId {
  if (subject.kind !== 'user' || actors.length > 0) throw new Fault('forbidden');
  return subject.id;
}

/** What the person saw is what is applied: the digest is over the change as it is stored. */
function digestOf(organization: OrganizationId, kind: ChangeKind, changeJson: string): string {
  return sha256(canonical({ organization, kind, change: changeJson }));
}

/** What callers see of it: all but the version that `answer` compares by. */
function shown({ version: _, ...visible }: StoredConfirmation): Confirmation {
  return visible;
}
