import { randomUUID } from 'node:crypto';
import type { JobKind } from '#jobs';
import { isFault, type UserId } from '#kernel';
import { signToken } from '#oauth';
import { rowOf } from './client-rows.ts';
import type { Client, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { system } from './keys.ts';
import type { SessionClient } from './session-clients.sql.ts';
import { tokenFormats } from './tokens.ts';

const kind = 'issuer.logout';
/** With the waits between them, more than half an hour. */
const attempts = 14;
const exchange = { timeout: 10_000, limit: 16_384 };
const event = 'http://schemas.openid.net/event/backchannel-logout';

/** Telling one client that a session has ended; durable, and one process does it at a time. An id that is a URL is too long for a key. */
export function logoutJob({ organization, ...payload }: SessionClient) {
  return { kind, organization, payload, uniqueKey: `${kind}:${organization}:${payload.sid}:${rowOf(organization, payload.client)}` };
}

type Payload = Omit<SessionClient, 'organization'>;

export function logoutJobKind(deps: IssuerDeps): JobKind {
  return {
    kind,
    attempts,
    async run({ payload, organization, signal }) {
      if (organization === undefined) return;
      const { client: id, sid, user } = payload as Payload;
      const client = await deps.clients.find(organization, id);
      const uri = client?.logout?.backchannelUri;
      if (client === undefined || uri === undefined) return;
      const found = await deps.identity.organization(organization);
      await tell(deps, { at: { organization: found, issuer: found.issuer }, client, uri, sid, user }, signal);
    },
  };
}

interface Telling {
  readonly at: Pick<Issuing, 'organization' | 'issuer'>;
  readonly client: Client;
  readonly uri: string;
  readonly sid: string;
  readonly user: UserId;
}

/** Posts the logout token, through the address guard (OpenID Connect Back-Channel Logout §2.5, §2.8). @throws {Error} to be tried again */
async function tell(deps: IssuerDeps, telling: Telling, signal: AbortSignal): Promise<void> {
  const { at, client, uri, sid } = telling;
  const answer = await deps.net
    .fetch(uri, {
      ...exchange,
      signal,
      method: 'POST',
      allowHttp: true,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ logout_token: await logoutToken(deps, telling) }).toString(),
    })
    .catch((error: unknown) => {
      if (isFault(error)) return { status: error.code };
      throw error;
    });
  const heard = typeof answer.status === 'number' && answer.status >= 200 && answer.status < 300;
  await deps.records.in(at.organization.id).write((tx) =>
    deps.audit.record(tx, {
      name: heard ? 'logout.told' : 'logout.not_told',
      principal: system(at.organization.id),
      fields: { client: client.id, session: sid, ...(heard ? {} : { reason: String(answer.status) }) },
    }),
  );
  if (!heard) throw new Error(`the client answered a logout token with ${answer.status}`);
}

/** Back-Channel Logout §2.4: a type of its own, for this client, brief, with the event, never with a nonce. */
async function logoutToken(deps: IssuerDeps, { at, client, sid, user }: Telling): Promise<string> {
  const { typ, life } = tokenFormats.logoutToken;
  const now = Math.floor(deps.clock.now() / 1000);
  const key = await deps.keys.signer(at.organization.id, client.signing);
  return signToken(key, typ, {
    iss: at.issuer,
    aud: client.id,
    iat: now,
    exp: now + life / 1000,
    jti: randomUUID(),
    sub: user,
    sid,
    events: { [event]: {} },
  });
}
