import { Fault } from '#kernel';
import type { StoredCredential } from './connection.ts';
import type { Tokens } from './exchange.ts';
import type { OauthAuth, Provider } from './provider.ts';

/** The credential that a grant of a person gave. */
export function credentialOfTokens(tokens: Tokens, now: number): StoredCredential {
  const refreshToken = tokens.refreshToken?.reveal();
  return {
    parts: { access_token: tokens.accessToken.reveal() },
    ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
    renewal: refreshToken === undefined ? 'none' : 'refresh_token',
    obtained_at: now,
  };
}

/** The credential after a refresh: a provider that sends no new refresh token means the old one to stay. */
export function renewed(before: StoredCredential, tokens: Tokens, now: number): StoredCredential {
  const refreshToken = tokens.refreshToken?.reveal() ?? before.refresh_token;
  return {
    ...before,
    parts: { ...before.parts, access_token: tokens.accessToken.reveal() },
    ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
    obtained_at: now,
  };
}

/** The provider's OAuth way. @throws {Fault} `invalid_request` when it has none */
export function oauthOf(provider: Provider): OauthAuth {
  const auth = provider.auth.find((one): one is OauthAuth => one.kind === 'oauth2');
  if (auth === undefined) throw new Fault('invalid_request', { detail: 'This provider has no OAuth flow' });
  return auth;
}
