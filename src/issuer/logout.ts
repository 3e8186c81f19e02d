import { Fault } from '#kernel';
import { parseJws, tokenHolds } from '#oauth';
import type { Session } from '#signin';
import type { Client, Issuing, Logout } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import type { Parameters } from './parameters.ts';
import { redirectHost, redirectSource } from './redirects.ts';
import { clientsIn } from './session-clients.sql.ts';
import { tokenFormats } from './tokens.ts';

interface Asked {
  readonly parameters: Parameters;
  readonly session: Session | undefined;
  /** The person was asked, and said yes. */
  readonly said: boolean;
}

/** RP-Initiated Logout §2. Where nothing proves that a client of the person's asks for it, the person is asked first (§2, §6). */
export async function logout(deps: IssuerDeps, at: Issuing, { parameters, session, said }: Asked): Promise<Logout> {
  parameters.refuseRepeats();
  const hint = await hintOf(deps, at, parameters.one('id_token_hint'));
  const client = await clientOf(deps, at, parameters.one('client_id'), hint);
  const to = targetOf(parameters, client);
  const proved = hint !== undefined && client !== undefined;
  if (session === undefined) return { kind: 'left', to, frames: [], proved };
  if (!said && !(proved && isOf(hint, session))) {
    const destination = to === undefined ? undefined : { host: redirectHost(to), source: redirectSource(to) };
    return { kind: 'ask', client: client?.name, destination };
  }
  return { kind: 'left', to, frames: await leave(deps, at, session), proved: true };
}

/** Ends the session; what the browser loads so that clients hear of it (Front-Channel Logout §3). */
export async function leave(deps: IssuerDeps, at: Issuing, session: Session): Promise<readonly string[]> {
  const ids = await deps.records.in(at.organization.id).read((tx) => clientsIn(tx, session.sid));
  const clients = await Promise.all(ids.map((id) => deps.clients.find(at.organization.id, id)));
  await deps.signin.end(at.organization.id, session.id, 'signed_out');
  return clients.flatMap((client) => frameOf(at, client, session.sid));
}

function frameOf(at: Issuing, client: Client | undefined, sid: string): readonly string[] {
  const uri = client?.logout?.frontchannelUri;
  if (uri === undefined) return [];
  if (client?.logout?.frontchannelSessionRequired !== true) return [uri];
  return [withParameters(uri, { iss: at.issuer, sid })];
}

interface Hint {
  readonly sub: string;
  readonly aud: string;
  readonly sid: string | undefined;
}

/** An ID token that we signed, also one that has expired (RP-Initiated Logout §4); anything else proves nothing. */
async function hintOf(deps: IssuerDeps, at: Issuing, text: string | undefined): Promise<Hint | undefined> {
  const jws = text === undefined ? undefined : parseJws(text, tokenFormats.idToken.typ);
  if (jws === undefined) return undefined;
  const key = (await deps.keys.all(at.organization.id)).find(({ id }) => id === jws.header.kid);
  if (key === undefined || !tokenHolds(jws, key.algorithm, key.key)) return undefined;
  const { iss, sub, aud, sid } = jws.payload;
  if (iss !== at.issuer || typeof sub !== 'string' || typeof aud !== 'string') return undefined;
  return { sub, aud, sid: typeof sid === 'string' ? sid : undefined };
}

/** The session that the token was made in, or another one of the same person where it names none. */
function isOf(hint: Hint, session: Session): boolean {
  return hint.sub === session.user.id && (hint.sid === undefined || hint.sid === session.sid);
}

/** @throws {Fault} `invalid_request` where the two that are named differ */
async function clientOf(deps: IssuerDeps, at: Issuing, named: string | undefined, hint: Hint | undefined): Promise<Client | undefined> {
  if (named !== undefined && hint !== undefined && named !== hint.aud)
    throw new Fault('invalid_request', { detail: 'client_id names another client than the ID token is for' });
  const id = hint?.aud ?? named;
  return id === undefined ? undefined : deps.clients.find(at.organization.id, id);
}

/** Exactly as registered, with `state` as it came; never anywhere else (RP-Initiated Logout §3). @throws {Fault} `post_logout_redirect_unregistered` */
function targetOf(parameters: Parameters, client: Client | undefined): string | undefined {
  const wanted = parameters.one('post_logout_redirect_uri');
  if (wanted === undefined) return undefined;
  if (client?.logout?.redirectUris.includes(wanted) !== true) throw new Fault('post_logout_redirect_unregistered');
  const state = parameters.one('state');
  return state === undefined ? wanted : withParameters(wanted, { state });
}

function withParameters(uri: string, parameters: Readonly<Record<string, string>>): string {
  return `${uri}${uri.includes('?') ? '&' : '?'}${new URLSearchParams(parameters)}`;
}
