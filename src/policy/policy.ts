import { checkReach, nameShape, printReach } from '#api';
import type { Audit } from '#audit';
import { type Clock, Fault, type Log, newId, type OrganizationId, type PermissionId, type Principal } from '#kernel';
import { type Changes, cacheByGeneration, type Records, type Writing } from '#store';
import { createConfirmations } from './confirmations.ts';
import type { Facts, Permission, PermissionDraft, Policy, Question } from './contract.ts';
import { decide } from './decide.ts';
import { explain } from './explain.ts';
import { type PermissionQueries, permissionQueries } from './permissions.sql.ts';

export interface PolicyDeps {
  readonly records: Records;
  readonly changes: Changes;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
}

/** How many agents' facts stay in memory. */
const cachedAgents = 10_000;

/** Makes the policy: permissions, decisions over them, and the changes that wait for a person. */
export function createPolicy({ records, changes, audit, clock }: PolicyDeps): Policy {
  const queries = permissionQueries(records);
  const cache = cacheByGeneration<Facts>(changes, 'policy', cachedAgents);

  async function facts(organization: OrganizationId, agent: Question['agent']): Promise<Facts> {
    const found = await cache.get(`${organization} ${agent.id} ${agent.owner ?? ''}`, async () => {
      const generation = changes.generation('policy');
      return { generation, ...(await queries.ofAgent(organization, agent)) };
    });
    return found as Facts;
  }

  return Object.freeze({
    facts,
    decide,
    explain: async (question) => explain(await facts(question.principal.organization, question.agent), question),
    permission: queries.byId,
    list: queries.list,
    give: (tx, by, draft) => give(tx, { queries, audit, clock }, by, draft),
    end: (tx, by, id) => end(tx, { queries, audit, clock }, by, id),
    ...createConfirmations({ records, audit, clock }),
    async close() {
      cache.close();
    },
  } satisfies Policy);
}

interface Parts {
  readonly queries: PermissionQueries;
  readonly audit: Audit;
  readonly clock: Clock;
}

async function give(tx: Writing, { queries, audit, clock }: Parts, by: Principal, draft: PermissionDraft): Promise<Permission> {
  refuseAgents(by);
  const now = clock.now();
  const permission: Permission = {
    ...checked(draft, now),
    id: newId('prm', now),
    organization: by.organization,
    createdAt: now,
    endedAt: undefined,
  };
  await queries.insert(tx, permission, by);
  await tx.bump('policy');
  const { effect, agent, target, level, passCredential, expiresAt } = permission;
  await audit.record(tx, {
    name: 'permission.given',
    principal: by,
    fields: {
      effect,
      agent: agent ?? null,
      reach: printReach(permission.reach),
      level: level ?? null,
      pass_credential: passCredential,
      expires_at: expiresAt ?? null,
      ...(target.kind === 'provider' ? { provider: target.id } : {}),
    },
    permission: permission.id,
    ...(target.kind === 'connection' ? { connection: target.id } : {}),
  });
  return permission;
}

async function end(tx: Writing, { queries, audit, clock }: Parts, by: Principal, id: PermissionId): Promise<Permission> {
  refuseAgents(by);
  const permission = await queries.end(tx, by.organization, id, clock.now());
  if (permission === undefined) throw new Fault('not_found');
  await tx.bump('policy');
  const { effect, agent } = permission;
  await audit.record(tx, { name: 'permission.ended', principal: by, fields: { effect, agent: agent ?? null }, permission: id });
  return permission;
}

/** Whoever asks here, an agent never widens or narrows anything. */
function refuseAgents({ subject, actors }: Principal): void {
  if (subject.kind === 'agent' || actors.length > 0) throw new Fault('forbidden');
}

/** @throws {Fault} `invalid_request` */
function checked(draft: PermissionDraft, now: number): PermissionDraft {
  const { effect, agent, owner, target, level, passCredential, expiresAt } = draft;
  if ((agent === undefined) === (owner === undefined)) throw invalid('a permission is for one agent, or for all agents of one owner');
  if (target.kind === 'provider' && !nameShape.test(target.id)) throw invalid('a provider has a name');
  if (effect === 'deny' && (level !== undefined || passCredential)) throw invalid('a deny holds at every level and passes nothing');
  if (expiresAt !== undefined && (!Number.isSafeInteger(expiresAt) || expiresAt <= now)) throw invalid('a permission ends in the future');
  return { effect, agent, owner, target, reach: checkReach(draft.reach), level, passCredential, expiresAt };
}

function invalid(detail: string): Fault {
  return new Fault('invalid_request', { detail });
}
