import type { User } from '#identity';
import { type BackchannelRequestId, Fault, newId, parseId } from '#kernel';
import { bearerValue } from '#oauth';
import { isFresh, type Session } from '#signin';
import { ephemeraKey, sha256 } from '#store';
import { decideBackchannelRequest, insertBackchannelRequest, reachOf, waitingFor } from './backchannel.sql.ts';
import { hintedUser } from './backchannel-hints.ts';
import type { Backchannel, BackchannelAuthentication, Issuing, ProtocolRequest, WaitingRequest } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { principalOf } from './grants.ts';
import { lives } from './lives.ts';
import { matrix } from './matrix.ts';
import { pollInterval } from './pace.ts';
import type { Parameters } from './parameters.ts';
import { scopeWords } from './scopes.ts';
import type { Authenticated, Parsed, Scoped } from './stages.ts';

/** Requests of one client to one person, and of all clients: whoever is asked again and again says yes in the end. */
const bounds = { window: 10 * 60_000, client: 5, everybody: 20 };
const mostListed = 50;

/** Clients that ask a person who is somewhere else (CIBA Core, poll mode). The person finds what waits on a page of ours. */
export function createBackchannel(deps: IssuerDeps, parsed: (at: Issuing, request: ProtocolRequest) => Parsed): Backchannel {
  return Object.freeze({
    authenticate: async (at, request, address) => ask(deps, await matrix.backchannel.run(deps, parsed(at, request)), address),
    waiting: (session) => waiting(deps, session),
    answer: (at, session, id, yes) => answer(deps, at, session, { id, yes }),
  } satisfies Backchannel);
}

/** CIBA §7.3. @throws {Fault} `hinted_user_unknown`, `binding_message_invalid`, `rate_limited`, `invalid_request` */
async function ask(deps: IssuerDeps, asked: Scoped<Authenticated>, address: string): Promise<BackchannelAuthentication> {
  const { at, client, parameters, scopes, resources } = asked;
  if (asked.method === 'none') throw new Fault('client_unauthorized');
  if (!scopes.includes('openid')) throw new Fault('scope_invalid', { detail: 'The scope openid is missing', hint: 'ask for openid' });
  const message = bindingMessage(parameters);
  const life = requestedLife(parameters);
  const user = await hintedUser(deps, asked);
  await countRequest(deps, user, client.id);
  const authReqId = bearerValue();
  const now = deps.clock.now();
  const row = {
    id: newId('bcr', now),
    organization_id: at.organization.id,
    created_at: now,
    client_id: client.id,
    user_id: user.id,
    request_hash: sha256(authReqId.reveal()),
    scopes_json: JSON.stringify(scopes),
    resources_json: JSON.stringify(resources),
    binding_message: message ?? null,
    address: address.slice(0, 64),
    expires_at: now + life,
  };
  await deps.records.in(at.organization.id).write((tx) => insertBackchannelRequest(tx, row));
  return { authReqId, expiresIn: life / 1000, interval: pollInterval };
}

/** What the person compares with what the client shows: short, of plain characters (CIBA §7.1). @throws {Fault} `binding_message_invalid` */
function bindingMessage(parameters: Parameters): string | undefined {
  const message = parameters.one('binding_message');
  if (message !== undefined && !/^[\p{L}\p{N}\p{P}\p{S}\p{M} ]{1,100}$/u.test(message)) throw new Fault('binding_message_invalid');
  return message;
}

/** Milliseconds: as long as was asked for, within bounds. */
function requestedLife(parameters: Parameters): number {
  const asked = parameters.one('requested_expiry');
  if (asked === undefined) return lives.backchannelRequest;
  if (!/^[1-9]\d{0,8}$/.test(asked)) throw new Fault('invalid_request', { detail: 'requested_expiry is a positive number of seconds' });
  return Math.min(Math.max(Number(asked) * 1000, lives.backchannelShortest), lives.backchannelLongest);
}

async function countRequest({ ephemera }: IssuerDeps, { organization, id }: User, client: string): Promise<void> {
  const counted = [
    [ephemeraKey('rate', 'backchannel', organization, id, client), bounds.client],
    [ephemeraKey('rate', 'backchannel', organization, id), bounds.everybody],
  ] as const;
  for (const [key, most] of counted)
    if ((await ephemera.bump(key, bounds.window)) > most) throw new Fault('rate_limited', { retryAfter: bounds.window / 1000 });
}

async function waiting(deps: IssuerDeps, { user }: Session): Promise<readonly WaitingRequest[]> {
  const rows = await deps.records.in(user.organization).read((tx) => waitingFor(tx, user.id, deps.clock.now(), mostListed));
  const registered = await deps.resources.registered(user.organization);
  const views = await Promise.all(
    rows.map(async (row): Promise<WaitingRequest | undefined> => {
      const client = await deps.clients.find(user.organization, row.client_id);
      if (client === undefined) return undefined;
      const { scopes, resources } = reachOf(row);
      return {
        id: row.id,
        client: { id: client.id, name: client.name },
        scopes: scopes.map((name) => ({ name, tells: scopeWords(name, registered, resources) })),
        resources,
        bindingMessage: row.binding_message ?? undefined,
        address: row.address,
        at: row.created_at,
        expiresAt: row.expires_at,
      };
    }),
  );
  return views.filter((view) => view !== undefined);
}

interface Answer {
  readonly id: string;
  readonly yes: boolean;
}

/** One answer decides; for a yes the session must be fresh. @throws {Fault} `link_ended`, `confirmation_required` */
async function answer(deps: IssuerDeps, at: Issuing, session: Session, { id: given, yes }: Answer): Promise<void> {
  const now = deps.clock.now();
  const id: BackchannelRequestId | undefined = parseId('bcr', given);
  if (yes && !isFresh(session, now)) throw new Fault('confirmation_required');
  if (id === undefined || session.kind !== 'browser' || session.organization !== at.organization.id) throw new Fault('link_ended');
  const { user, authenticatedAt } = session;
  const decided = yes
    ? { status: 'approved', authenticated_at: authenticatedAt, user_epoch: user.epoch, organization_epoch: at.organization.epoch }
    : { status: 'refused', authenticated_at: null, user_epoch: null, organization_epoch: null };
  await deps.records.in(at.organization.id).write(async (tx) => {
    const row = await decideBackchannelRequest(tx, { id, user: user.id, now, decided });
    if (row === undefined) throw new Fault('link_ended');
    const fields = { client: row.client_id, ...reachOf(row), address: row.address };
    const principal = principalOf({ organization: user.organization, user: user.id });
    await deps.audit.record(tx, { name: yes ? 'backchannel.approved' : 'backchannel.refused', principal, fields });
  });
}
