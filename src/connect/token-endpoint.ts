import { Fault } from '#kernel';
import type { Net } from '#net';
import { buildTokenRequest, type ClientIdentity, judgeTokens, type TokenJudgement, type TokenRequest } from './exchange.ts';
import type { OauthAuth } from './provider.ts';

/** Sends one token request. @throws {Fault} what the network said */
export function sendTokenRequest(net: Net, request: TokenRequest, timeout: number, signal?: AbortSignal) {
  return net.fetch(request.url, {
    method: 'POST',
    headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, value.reveal()])),
    body: request.body.reveal(),
    timeout,
    limit: 262_144,
    allowHttp: true,
    ...(signal === undefined ? {} : { signal }),
  });
}

export interface Exchange {
  readonly auth: OauthAuth;
  readonly endpoint: string | undefined;
  readonly client: ClientIdentity;
  readonly parameters: Readonly<Record<string, string>>;
  readonly now: number;
}

/** One exchange at the token endpoint, judged. @throws {Fault} what the network said */
export async function exchange(net: Net, { auth, endpoint, client, parameters, now }: Exchange): Promise<TokenJudgement> {
  if (endpoint === undefined) throw new Fault('upstream_sign_in_failed');
  const answer = await sendTokenRequest(net, buildTokenRequest(auth, endpoint, client, parameters), 20_000);
  return judgeTokens(auth, answer, now);
}

/** The tokens of a judgement. @throws {Fault} `upstream_sign_in_failed` with the provider's error code */
export function tokensOf(judged: TokenJudgement) {
  if (judged.kind === 'ok') return judged.tokens;
  if (judged.kind === 'rate_limited') {
    const { retryAfter } = judged;
    throw new Fault('rate_limited', { detail: 'The provider asks to wait', ...(retryAfter === undefined ? {} : { retryAfter }) });
  }
  const reason = 'reason' in judged ? judged.reason : judged.kind;
  throw new Fault('upstream_sign_in_failed', { detail: `The provider answered: ${reason}` });
}
