import type { Audit } from '#audit';
import { type Clock, Fault, type OrganizationId, type UserId } from '#kernel';
import { parseUserCode, userCode } from '#oauth';
import { type Ephemera, ephemeraKey, type Records, type Writing } from '#store';
import type { Vault } from '#vault';
import { agentOf, isExpired } from './agent-view.ts';
import { type AgentRow, agentBy, changeAgent } from './agents.sql.ts';
import type { Agent, ClaimOffer, ClaimState, ClaimView, User } from './contract.ts';
import { userById } from './users.sql.ts';

export interface ClaimDeps {
  readonly records: Records;
  readonly ephemera: Ephemera;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
}

const minute = 60_000;
const codeLife = 5 * minute;
/** How long the terminal may think about who typed the code. */
const answerLife = 5 * minute;
/** Wrong codes of one person; then nothing that lives now can be typed by them any more. */
const triesOfOne = 5;
/** Wrong codes of a whole organization, whoever typed them. */
const triesOfAll = 50;
/** Twice a code's life: no code that lived when the tries ran out lives when they come back. */
const triesWindow = 2 * codeLife;
const offersAnHour = 30;

/** What waits under the agent's own key. Compared as text by `drop`, so it is written once and never rebuilt. */
type Pending =
  | {
      readonly kind: 'offered';
      readonly code: string;
      readonly expiresAt: number;
      readonly host: string;
      readonly address: string;
      readonly at: number;
    }
  | { readonly kind: 'typed'; readonly id: UserId; readonly email: string; readonly at: number };

const stateKey = (agent: Agent) => ephemeraKey('claim_code', agent.organization, 'agent', agent.id);
const codeKey = (organization: OrganizationId, mac: string) => ephemeraKey('claim_code', organization, 'code', mac);

/** A code for the terminal to show. The code of an earlier offer ends. */
export async function offerClaim(deps: ClaimDeps, agent: Agent, host: string, address: string): Promise<ClaimOffer> {
  const now = deps.clock.now();
  if (agent.status !== 'registered' || isExpired(agent, now)) throw new Fault('agent_not_active', { hint: 'an agent is claimed once' });
  const offers = await deps.ephemera.bump(ephemeraKey('rate', 'claim_offer', agent.id), 60 * minute);
  if (offers > offersAnHour) throw new Fault('rate_limited', { retryAfter: 3600 });
  await withdraw(deps, agent);
  const code = userCode();
  const life = Math.min(codeLife, (agent.expiresAt ?? now + codeLife) - now);
  const mac = macOf(deps, agent.organization, code.reveal());
  const offer: Pending = { kind: 'offered', code: mac, expiresAt: now + life, host: shown(host), address: shown(address), at: now };
  await deps.ephemera.put(stateKey(agent), JSON.stringify(offer), life);
  await deps.ephemera.put(codeKey(agent.organization, mac), agent.id, life);
  return { code, expiresAt: offer.expiresAt };
}

export async function claimState(deps: ClaimDeps, agent: Agent): Promise<ClaimState> {
  if (agent.owner !== undefined) return { kind: 'accepted' };
  const pending = parsePending(await deps.ephemera.get(stateKey(agent)));
  if (pending === undefined) return { kind: 'none' };
  if (pending.kind === 'offered') return { kind: 'offered', expiresAt: pending.expiresAt };
  return { kind: 'typed', by: { id: pending.id, email: pending.email }, at: pending.at };
}

/** Spends a code that a signed-in person typed, and tells the terminal who it was. */
export async function typeClaim(deps: ClaimDeps, user: User, typed: string): Promise<ClaimView> {
  await countTry(deps, user);
  const code = parseUserCode(typed);
  const id = code === undefined ? undefined : await deps.ephemera.take(codeKey(user.organization, macOf(deps, user.organization, code)));
  const row =
    id === undefined ? undefined : await deps.records.in(user.organization).read((tx) => agentBy(tx, user.organization, 'id', id));
  const offer = row === undefined ? undefined : await pass(deps, agentOf(row), user);
  if (row === undefined || offer === undefined) throw await wrongCode(deps, user);
  await deps.ephemera.take(triesKey(user));
  return { agent: agentOf(row), host: offer.host, address: offer.address, at: offer.at };
}

/** The terminal said yes to whoever typed the code. Exactly one acceptance wins, whatever Ephemera remembers. */
export async function acceptClaim(deps: ClaimDeps, agent: Agent): Promise<Agent> {
  const text = await deps.ephemera.get(stateKey(agent));
  const pending = parsePending(text);
  if (text === undefined || pending?.kind !== 'typed') throw new Fault('claim_code_wrong', { detail: 'nobody has typed the code' });
  if (!(await deps.ephemera.drop(stateKey(agent), text))) throw new Fault('conflict');
  return deps.records.in(agent.organization).write((tx) => makeOwner(deps, tx, agent, pending.id));
}

/** The terminal said no, or gave up: whatever was offered or typed ends. */
export async function withdraw(deps: ClaimDeps, agent: Agent): Promise<void> {
  const pending = parsePending(await deps.ephemera.take(stateKey(agent)));
  if (pending?.kind === 'offered') await deps.ephemera.take(codeKey(agent.organization, pending.code));
}

/** From offered to typed, once: `drop` lets one caller replace exactly the offer that was read. */
async function pass(deps: ClaimDeps, agent: Agent, user: User): Promise<(Pending & { kind: 'offered' }) | undefined> {
  const text = await deps.ephemera.get(stateKey(agent));
  const pending = parsePending(text);
  if (text === undefined || pending?.kind !== 'offered' || agent.status !== 'registered') return undefined;
  if (!(await deps.ephemera.drop(stateKey(agent), text))) return undefined;
  const typed: Pending = { kind: 'typed', id: user.id, email: user.email, at: deps.clock.now() };
  await deps.ephemera.put(stateKey(agent), JSON.stringify(typed), answerLife);
  return pending;
}

async function makeOwner(deps: ClaimDeps, tx: Writing, agent: Agent, owner: UserId): Promise<Agent> {
  const before = await agentBy(tx, agent.organization, 'id', agent.id);
  const user = await userById(tx, agent.organization, owner);
  if (before === undefined || isExpired(agentOf(before), deps.clock.now())) throw new Fault('agent_unknown');
  if (user?.status !== 'active') throw new Fault('forbidden');
  const after = before.status === 'registered' ? await changeAgent(tx, before, ownedBy(owner)) : undefined;
  if (after === undefined) throw new Fault('conflict');
  await deps.audit.record(tx, {
    name: 'agent.claimed',
    principal: { organization: agent.organization, subject: { kind: 'user', id: owner }, actors: [] },
    fields: { agent: agent.id, user: owner },
  });
  await tx.bump('identity');
  return agentOf(after);
}

function ownedBy(owner: UserId): Partial<AgentRow> {
  return { status: 'claimed', owner_kind: 'user', owner_user_id: owner, expires_at: null };
}

const triesKey = (user: User) => ephemeraKey('claim_tries', user.organization, 'user', user.id);
const triesOfAllKey = (user: User) => ephemeraKey('claim_tries', user.organization, 'all');

/** Counted before the code is looked at, so that tries in parallel are counted too. */
async function countTry(deps: ClaimDeps, user: User): Promise<void> {
  const all = Number((await deps.ephemera.get(triesOfAllKey(user))) ?? 0);
  const own = await deps.ephemera.bump(triesKey(user), triesWindow);
  if (own > triesOfOne || all > triesOfAll) throw new Fault('rate_limited', { retryAfter: triesWindow / 1000 });
}

async function wrongCode(deps: ClaimDeps, user: User): Promise<Fault> {
  await deps.ephemera.bump(triesOfAllKey(user), triesWindow);
  return new Fault('claim_code_wrong');
}

function macOf(deps: ClaimDeps, organization: OrganizationId, code: string): string {
  return deps.vault.mac(`claim_code ${organization}`, code);
}

function parsePending(text: string | undefined): Pending | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as Pending);
}

/** What came from outside and is shown on a page: short, and nothing that changes how the rest reads. */
function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, '').slice(0, 255);
}
