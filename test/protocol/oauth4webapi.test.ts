import * as oauth from 'oauth4webapi';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authorizing, openAuthorizing } from '../support/authorizing.ts';
import { fetchOver } from '../support/fetching.ts';
import { api, callback, type Registered } from '../support/issuing.ts';
import { testIssuer } from '../support/people.ts';

let at: Authorizing;
let registered: Registered;
let server: oauth.AuthorizationServer;
let client: oauth.Client;
let send: { readonly [oauth.customFetch]: (url: string, options: object) => Promise<Response> };

beforeAll(async () => {
  at = await openAuthorizing();
  registered = await at.add();
  const over = fetchOver(at.serving);
  send = { [oauth.customFetch]: (url, options) => over(url, options as RequestInit) };
  const issuer = new URL(testIssuer);
  server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...send, algorithm: 'oauth2' }));
  // Its clock is the machine's, the server's is the test's.
  client = { client_id: registered.id, [oauth.clockSkew]: Math.round((at.serving.people.clock.now() - Date.now()) / 1000) };
});

const secret = () => oauth.ClientSecretBasic(registered.secret);

interface Begun {
  readonly parameters: Readonly<Record<string, string>>;
  readonly verifier: string;
  readonly state: string;
  readonly nonce: string;
}

async function begin(scope = 'openid email things:read'): Promise<Begun> {
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const code_challenge = await oauth.calculatePKCECodeChallenge(verifier);
  const asked = { response_type: 'code', redirect_uri: callback, scope, state, nonce };
  return { parameters: { client_id: registered.id, ...asked, code_challenge, code_challenge_method: 'S256' }, verifier, state, nonce };
}

/** Through the pages, to the parameters that come back; the issuer and the state in them are judged by the library. */
async function through(parameters: Readonly<Record<string, string>>, state: string): Promise<URLSearchParams> {
  return oauth.validateAuthResponse(server, client, await at.through(await at.open(parameters)), state);
}

type Sending = { readonly DPoP?: oauth.DPoPHandle };

async function redeem(back: URLSearchParams, { verifier, nonce }: Begun, more: Sending = {}) {
  const answer = await oauth.authorizationCodeGrantRequest(server, client, secret(), back, callback, verifier, { ...send, ...more });
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, { expectedNonce: nonce, requireIdToken: true });
  await oauth.validateApplicationLevelSignature(server, answer, send);
  return tokens;
}

async function refresh(token: string, more: Sending = {}) {
  const answer = await oauth.refreshTokenGrantRequest(server, client, secret(), token, { ...send, ...more });
  return oauth.processRefreshTokenResponse(server, client, answer);
}

async function stateOf(token: string) {
  return oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, secret(), token, send));
}

async function push(parameters: Readonly<Record<string, string>>) {
  const answer = await oauth.pushedAuthorizationRequest(server, client, secret(), parameters, send);
  return oauth.processPushedAuthorizationResponse(server, client, answer);
}

describe('oauth4webapi', () => {
  test('redeems a code with PKCE, verifies the ID token by the key set, reads userinfo, and refreshes', async () => {
    const begun = await begin();
    const back = await through(begun.parameters, begun.state);
    const tokens = await redeem(back, begun);
    const sub = oauth.getValidatedIdTokenClaims(tokens)?.sub ?? '';
    expect(tokens).toMatchObject({ token_type: 'bearer', scope: 'openid email things:read' });
    const userinfo = await oauth.userInfoRequest(server, client, tokens.access_token, send);
    expect(await oauth.processUserInfoResponse(server, client, sub, userinfo)).toMatchObject({ sub, email: 'ada@example.com' });
    const next = await refresh(tokens.refresh_token ?? '');
    expect(next.refresh_token).not.toBe(tokens.refresh_token);
    await expect(redeem(back, begun)).rejects.toMatchObject({ error: 'invalid_grant' });
  });

  test('is told of a refusal with state and issuer', async () => {
    const { parameters, state } = await begin('openid email');
    await at.serving.people.pass(1_000);
    await expect(through({ ...parameters, prompt: 'none', max_age: '0' }, state)).rejects.toMatchObject({ error: 'login_required' });
    await expect(through({ ...parameters, scope: 'everything' }, state)).rejects.toMatchObject({ error: 'invalid_scope' });
  });

  test('pushes its request, and redeems what comes of it', async () => {
    const begun = await begin();
    const { request_uri, expires_in } = await push(begun.parameters);
    expect(expires_in).toBe(60);
    const back = await through({ client_id: registered.id, request_uri }, begun.state);
    expect((await redeem(back, begun)).access_token).toBeDefined();
    await expect(push({ ...begun.parameters, request_uri })).rejects.toMatchObject({ error: 'invalid_request' });
  });

  test('binds its tokens to a key with DPoP, and uses and refreshes them with it alone', async () => {
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
    const begun = await begin();
    const tokens = await redeem(await through(begun.parameters, begun.state), begun, { DPoP });
    expect(tokens.token_type).toBe('dpop');
    expect((await stateOf(tokens.access_token)).cnf).toEqual({ jkt: await DPoP.calculateThumbprint() });
    const show = async (more: Sending) => {
      const answer = await oauth.userInfoRequest(server, client, tokens.access_token, { ...send, ...more });
      return oauth.processUserInfoResponse(server, client, oauth.skipSubjectCheck, answer);
    };
    expect((await show({ DPoP })).email).toBe('ada@example.com');
    await expect(show({})).rejects.toThrow();
    expect((await refresh(tokens.refresh_token ?? '', { DPoP })).token_type).toBe('dpop');
  });

  test('introspects and revokes: what was revoked, and what hangs on it, is not active', async () => {
    const begun = await begin();
    const tokens = await redeem(await through(begun.parameters, begun.state), begun);
    expect(await stateOf(tokens.access_token)).toMatchObject({ active: true, client_id: registered.id, aud: testIssuer });
    await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, secret(), tokens.refresh_token ?? '', send));
    expect(await stateOf(tokens.access_token)).toEqual({ active: false });
    await expect(refresh(tokens.refresh_token ?? '')).rejects.toMatchObject({ error: 'invalid_grant' });
    await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, secret(), 'nonsense', send));
  });

  test('walks the way of FAPI 2.0: pushed, proven by a key, bound to another, by a client that may do no less', async () => {
    const keys = await oauth.generateKeyPair('ES256', { extractable: true });
    const jwks = [{ ...(await crypto.subtle.exportKey('jwk', keys.publicKey)) }];
    const grantTypes = ['authorization_code', 'refresh_token'] as const;
    const strict = { requirePushedAuthorizationRequests: true, dpopBound: true };
    const { id } = await at.add({ authentication: 'private_key_jwt', jwks, grantTypes, ...strict });
    const own = { ...client, client_id: id };
    const [proof, DPoP] = [oauth.PrivateKeyJwt(keys.privateKey), oauth.DPoP(own, await oauth.generateKeyPair('ES256'))];
    const begun = await begin();
    const parameters = { ...begun.parameters, client_id: id };
    const unpushed = new URL(String((await at.open(parameters)).headers.location));
    expect(() => oauth.validateAuthResponse(server, own, unpushed, begun.state)).toThrow(
      expect.objectContaining({ error: 'invalid_request' }),
    );
    const pushing = await oauth.pushedAuthorizationRequest(server, own, proof, parameters, { ...send, DPoP });
    const { request_uri, expires_in } = await oauth.processPushedAuthorizationResponse(server, own, pushing);
    expect(expires_in).toBeLessThan(600);
    const to = await at.through(await at.open({ client_id: id, request_uri }));
    const back = oauth.validateAuthResponse(server, own, to, begun.state);
    const redeeming = (more: Sending) =>
      oauth.authorizationCodeGrantRequest(server, own, proof, back, callback, begun.verifier, { ...send, ...more });
    const process = async (answer: Response) =>
      oauth.processAuthorizationCodeResponse(server, own, answer, { expectedNonce: begun.nonce, requireIdToken: true });
    await expect(process(await redeeming({}))).rejects.toMatchObject({ error: 'invalid_dpop_proof' });
    expect((await process(await redeeming({ DPoP }))).token_type).toBe('dpop');
  });

  test('gets a token for itself', async () => {
    const answer = await oauth.clientCredentialsGrantRequest(server, client, secret(), { scope: 'things:read', resource: api }, send);
    const tokens = await oauth.processClientCredentialsResponse(server, client, answer);
    expect([tokens.scope, tokens.refresh_token]).toEqual(['things:read', undefined]);
  });
});
