import { Fault, isFault, newId, type Principal } from '#kernel';
import { ephemeraKey } from '#store';
import { accountOf } from './account.ts';
import { clientOfDoc } from './code-flow.ts';
import type { ConnectDeps } from './deps.ts';
import { buildTokenRequest, type ClientIdentity, isRecord, type Tokens } from './exchange.ts';
import { type FlowRecord, saveDoc } from './flow-record.ts';
import { failFlow, makeConnection } from './making.ts';
import { credentialOfTokens, oauthOf } from './oauth-credential.ts';
import type { OauthAuth } from './provider.ts';
import type { Providers } from './providers.ts';
import { exchange, sendTokenRequest } from './token-endpoint.ts';

type Deps = ConnectDeps & { readonly providers: Providers };

export interface DeviceCode {
  readonly code: string;
  readonly userCode: string;
  readonly url: string;
  /** Seconds between polls. */
  readonly interval: number;
  /** Seconds it lives. */
  readonly life: number;
}

/** Asks for a device code (RFC 8628 §3.1). @throws {Fault} `upstream_sign_in_failed` */
export async function requestDeviceCode(
  deps: ConnectDeps,
  auth: OauthAuth,
  endpoint: string,
  client: ClientIdentity,
  scopes: readonly string[],
): Promise<DeviceCode> {
  const parameters = scopes.length === 0 ? {} : { scope: scopes.join(auth.scope_separator) };
  const plain = { token_request: { format: 'form' as const, parameters: {}, headers: {} } };
  const answer = await sendTokenRequest(
    deps.net,
    buildTokenRequest(plain, endpoint, client, { client_id: client.id, ...parameters }),
    20_000,
  );
  const body = answer.status === 200 ? parseBody(answer.body) : undefined;
  if (body === undefined) throw new Fault('upstream_sign_in_failed', { detail: 'The provider gave no device code' });
  return body;
}

function parseBody(bytes: Uint8Array): DeviceCode | undefined {
  const text = Buffer.from(bytes).toString('utf8');
  const body: unknown = text.trimStart().startsWith('{') ? JSON.parse(text) : Object.fromEntries(new URLSearchParams(text));
  if (!isRecord(body)) return undefined;
  const { device_code: code, user_code: userCode } = body;
  const url = body.verification_uri_complete ?? body.verification_uri ?? body.verification_url;
  if (typeof code !== 'string' || typeof userCode !== 'string' || typeof url !== 'string' || !/^https?:\/\/[^\s]+$/.test(url))
    return undefined;
  return { code, userCode: userCode.slice(0, 64), url, interval: seconds(body.interval, 5, 60), life: seconds(body.expires_in, 900, 3600) };
}

function seconds(value: unknown, fallback: number, most: number): number {
  const number = Number(value ?? fallback);
  return Number.isFinite(number) && number >= 1 ? Math.min(number, most) : fallback;
}

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';

/**
 * Asks once whether the person has agreed, if the interval allows: one poll per interval over all processes, five
 * seconds more after every `slow_down` (RFC 8628 §3.5). The flow ends when the provider says how.
 */
export async function pollDevice(deps: Deps, flow: FlowRecord): Promise<void> {
  const { device } = flow.doc;
  if (device === undefined || flow.state.kind !== 'device' || deps.clock.now() >= flow.row.expires_at) return;
  const key = ephemeraKey('lease', 'device', flow.row.id);
  if (!(await deps.ephemera.claim(key, newId('req', deps.clock.now()), device.interval * 1000))) return;
  const by: Principal = { organization: flow.row.organization_id, subject: flow.startedBy, actors: [] };
  try {
    await askOnce(deps, by, flow, device);
  } catch (error) {
    if (!isFault(error)) throw error;
    deps.log.info('a device flow could not be polled', { flow: flow.row.id, code: error.code });
  }
}

async function askOnce(
  deps: Deps,
  by: Principal,
  flow: FlowRecord,
  device: { readonly code: string; readonly interval: number },
): Promise<void> {
  const provider = await deps.providers.get(flow.row.organization_id, flow.row.provider_id);
  if (provider.digest !== flow.doc.digest) return failFlow(deps, by, flow, 'link_ended', 'The provider definition changed meanwhile');
  const auth = oauthOf(provider);
  const now = deps.clock.now();
  const client = clientOfDoc(flow.doc);
  const parameters = { grant_type: deviceGrant, device_code: device.code, client_id: client.id };
  const judged = await exchange(deps.net, { auth, endpoint: flow.doc.endpoints.token, client, parameters, now });
  if (judged.kind === 'slow_down') {
    await saveDoc(deps, flow, { ...flow.doc, device: { ...device, interval: device.interval + 5 } });
  } else if (judged.kind === 'ok') {
    await finish(deps, by, flow, auth, judged.tokens, client.id, now);
  } else if (judged.kind === 'invalid_grant') {
    const said = judged.reason === 'access_denied' ? 'Access was not given at the provider' : 'The code was not used in time';
    await failFlow(deps, by, flow, judged.reason === 'access_denied' ? 'cancelled' : 'link_ended', said);
  } else if (judged.kind === 'refused') {
    await failFlow(deps, by, flow, 'upstream_sign_in_failed', `The provider answered: ${judged.reason}`);
  }
}

async function finish(
  deps: Deps,
  by: Principal,
  flow: FlowRecord,
  auth: OauthAuth,
  tokens: Tokens,
  client: string,
  now: number,
): Promise<void> {
  const provider = await deps.providers.get(flow.row.organization_id, flow.row.provider_id);
  try {
    await makeConnection(deps, by, flow, provider, {
      kind: 'oauth2',
      credential: credentialOfTokens(tokens, now),
      account: await accountOf(deps.net, auth, tokens),
      scopes: tokens.scopes ?? flow.doc.scopes,
      expiresAt: tokens.expiresAt,
      client,
      hosts: [],
      byOwner: false,
    });
  } catch (error) {
    if (!isFault(error)) throw error;
    await failFlow(deps, by, flow, error.code, error.details.detail ?? error.row.title);
  }
}
