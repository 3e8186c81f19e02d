import { describe, expect, it } from 'vitest';
import { Secret } from '#kernel';
import { buildRefresh, buildTokenRequest, judgeRefresh, judgeTokens, retryAfterOf } from './exchange.ts';
import { authSchema, type OauthAuth } from './provider.ts';

const now = Date.UTC(2026, 0, 1);

function auth(more: object = {}): OauthAuth {
  return authSchema.parse({
    kind: 'oauth2',
    flows: ['pkce'],
    authorization_endpoint: 'https://as.example/a',
    token_endpoint: 'https://as.example/t',
    scopes: [],
    inject: [{ kind: 'bearer' }],
    ...more,
  }) as OauthAuth;
}

function answer(status: number, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { status, headers, body: Buffer.from(text) };
}

function tokens(body: unknown, more: object = {}, headers: Record<string, string> = {}) {
  const judged = judgeTokens(auth(more), answer(200, body, headers), now);
  if (judged.kind !== 'ok') throw new Error(`judged ${judged.kind}`);
  return judged.tokens;
}

describe('an answer of a token endpoint', () => {
  it('is taken with expires_in as a number, as text, or without it', () => {
    expect(tokens({ access_token: 'a', expires_in: 3600 }).expiresAt).toBe(now + 3_600_000);
    expect(tokens({ access_token: 'a', expires_in: '3600' }).expiresAt).toBe(now + 3_600_000);
    expect(tokens({ access_token: 'a' }).expiresAt).toBeUndefined();
    expect(tokens({ access_token: 'a' }, { token_response: { assumed_life: 60 } }).expiresAt).toBe(now + 60_000);
  });

  it('takes nonsense in expires_in as if it were absent', () => {
    for (const expires_in of [0, -5, 'soon', '', null, Number.NaN, {}, [], '1e9x', true])
      expect(tokens({ access_token: 'a', expires_in }).expiresAt).toBeUndefined();
  });

  it('is read as a form where a provider answers so', () => {
    const form = tokens(
      'access_token=a-b&scope=repo%2Cuser&token_type=bearer',
      {},
      { 'content-type': 'application/x-www-form-urlencoded' },
    );
    expect(form.accessToken.reveal()).toBe('a-b');
    expect(form.scopes).toEqual(['repo', 'user']);
    expect(tokens('access_token=x&expires_in=7').expiresAt).toBe(now + 7000);
  });

  it('keeps a rotated refresh token, and says when there is none', () => {
    expect(tokens({ access_token: 'a', refresh_token: 'r2' }).refreshToken?.reveal()).toBe('r2');
    expect(tokens({ access_token: 'a' }).refreshToken).toBeUndefined();
    expect(tokens({ access_token: 'a', refresh_token: '' }).refreshToken).toBeUndefined();
  });

  it('finds tokens under the member that the definition names', () => {
    const body = { ok: true, access_token: 'bot', authed_user: { access_token: 'user', scope: 'a,b' } };
    const found = tokens(body, { token_response: { under: 'authed_user' } });
    expect(found.accessToken.reveal()).toBe('user');
    expect(found.scopes).toEqual(['a', 'b']);
  });

  it('never takes a token that would break out of a header, nor one that needs a proof', () => {
    for (const access_token of ['a\r\nX: y', 'a b', '', 7, null, 'é', 'x'.repeat(20_000)])
      expect(judgeTokens(auth(), answer(200, { access_token }), now).kind).not.toBe('ok');
    expect(judgeTokens(auth(), answer(200, { access_token: 'a', token_type: 'DPoP' }), now).kind).not.toBe('ok');
  });

  it('prints no secret, whatever prints it', () => {
    const judged = judgeTokens(auth(), answer(200, { access_token: 'canary-1', refresh_token: 'canary-2' }), now);
    expect(JSON.stringify(judged)).not.toContain('canary');
    expect(String(judged)).not.toContain('canary');
  });
});

describe('a refresh', () => {
  const classes: readonly (readonly [string, number, unknown, string])[] = [
    ['400 invalid_grant', 400, { error: 'invalid_grant' }, 'invalid_grant'],
    ['401 invalid_grant', 401, { error: 'invalid_grant' }, 'invalid_grant'],
    ['200 with an error, as some providers answer', 200, { error: 'bad_refresh_token' }, 'invalid_grant'],
    ['200 ok:false with an error', 200, { ok: false, error: 'token_revoked' }, 'invalid_grant'],
    ['429', 429, {}, 'rate_limited'],
    ['200 with ratelimited', 200, { ok: false, error: 'ratelimited' }, 'rate_limited'],
    ['500', 500, 'oops', 'transient'],
    ['503 with invalid_grant in it', 503, { error: 'invalid_grant' }, 'transient'],
    ['400 without a body', 400, '', 'transient'],
    ['200 of a page', 200, '<html>', 'transient'],
    ['invalid_client, which is not the grant', 401, { error: 'invalid_client' }, 'transient'],
    ['200 with tokens', 200, { access_token: 'a' }, 'ok'],
    ['an array', 200, [], 'transient'],
  ];

  it.each(classes)('%s', (_name, status, body, kind) => {
    expect(judgeRefresh(auth(), answer(status, body), now).kind).toBe(kind);
  });

  it('reads Retry-After in both forms', () => {
    expect(retryAfterOf('120', now)).toBe(120);
    expect(retryAfterOf(new Date(now + 30_000).toUTCString(), now)).toBe(30);
    expect(retryAfterOf('soon', now)).toBeUndefined();
    expect(retryAfterOf(undefined, now)).toBeUndefined();
  });

  it('sends grant, token and client as the definition says', () => {
    const client = { id: 'id:1', secret: new Secret('s&c ret'), authentication: 'client_secret_basic' } as const;
    const byBasic = buildRefresh(auth(), 'https://as.example/t', client, new Secret('r1'));
    expect(byBasic.body.reveal()).toBe('grant_type=refresh_token&refresh_token=r1');
    expect(byBasic.headers.authorization?.reveal()).toBe(`Basic ${Buffer.from('id%3A1:s%26c+ret').toString('base64')}`);
    const byPost = buildRefresh(auth(), 'https://as.example/t', { ...client, authentication: 'client_secret_post' }, new Secret('r1'));
    expect(Object.fromEntries(new URLSearchParams(byPost.body.reveal()))).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'r1',
      client_id: 'id:1',
      client_secret: 's&c ret',
    });
    const json = buildTokenRequest(
      auth({ token_request: { format: 'json', parameters: { audience: 'x' } } }),
      'https://as.example/t',
      { id: 'pub', secret: undefined, authentication: 'none' },
      { code: 'c' },
    );
    expect(JSON.parse(json.body.reveal())).toEqual({ audience: 'x', code: 'c', client_id: 'pub' });
    expect(JSON.stringify(byPost)).not.toContain('s&c');
  });
});
