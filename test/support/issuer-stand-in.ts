import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { afterAll } from 'vitest';
import { endingName } from '#oauth';

const standing = new Set<Server>();
afterAll(() => {
  for (const server of standing) server.closeAllConnections();
  for (const server of standing) server.close();
});

/** An issuer whose every word is the test's: metadata, keys, what has ended. Tokens are made by another library than ours. */
export interface StandIn {
  readonly issuer: string;
  readonly url: string;
  /** What the issuer says of endings, and how often each path was asked for. */
  readonly state: { epoch: number; ended: (readonly [string, number])[]; keys: string[]; age: number; failing: boolean; whole: boolean };
  readonly asked: Map<string, number>;
  end(parent: string): void;
  /** A token with these claims in place of good ones (undefined: without), signed by the key of this name. */
  token(claims?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>, kid?: string): Promise<string>;
  /** Publishes one more key. */
  addKey(kid: string, algorithm?: string): Promise<void>;
  removeKey(kid: string): void;
}

export const resource = 'https://api.example/mcp';
const issuer = 'https://issuer.example';

export async function openStandIn(): Promise<StandIn> {
  const keys = new Map<string, { readonly privateKey: CryptoKey; readonly jwk: object; readonly algorithm: string }>();
  const state: StandIn['state'] = { epoch: 1, ended: [], keys: [], age: 0, failing: false, whole: true };
  const asked = new Map<string, number>();
  const answers: Readonly<Record<string, (query: URLSearchParams) => unknown>> = {
    '/.well-known/openid-configuration': () => ({
      issuer,
      jwks_uri: `${issuer}/keys`,
      token_endings_uri: `${issuer}/ended`,
      introspection_endpoint: `${issuer}/introspect`,
    }),
    '/keys': () => ({ keys: [{ kty: 'unknown' }, ...[...keys.values()].map(({ jwk }) => jwk)] }),
    '/ended': (query) => {
      const from = state.whole ? undefined : query.get('after')?.split('.')[1];
      const row = Number(from ?? 0);
      const { epoch, ended, age } = state;
      const known = { epoch, cursor: `${epoch}.${ended.length}`, ended: ended.slice(row), keys: state.keys, age };
      return { issuer, whole: from === undefined, more: false, held: 0, ...known };
    },
    '/introspect': () => ({ active: false }),
  };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://stand-in');
    asked.set(pathname, (asked.get(pathname) ?? 0) + 1);
    const answer = answers[pathname];
    response.writeHead(state.failing || answer === undefined ? 503 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer?.(searchParams) ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  standing.add(server);

  async function addKey(kid: string, algorithm = 'ES256'): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
    keys.set(kid, { privateKey, algorithm, jwk: { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' } });
    state.keys = [...keys.keys()];
  }

  await addKey('first');
  return {
    issuer,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    state,
    asked,
    end: (parent) => state.ended.push([endingName(parent), Date.now() / 1000 + 900]),
    async token(claims = {}, header = {}, kid = 'first') {
      const key = keys.get(kid);
      if (key === undefined) throw new Error(`there is no key ${kid}`);
      return new SignJWT({ ...goodClaims(), ...claims } as JWTPayload)
        .setProtectedHeader({ alg: key.algorithm, kid, typ: 'at+jwt', ...header })
        .sign(key.privateKey);
    },
    addKey,
    removeKey(kid) {
      keys.delete(kid);
      state.keys = [...keys.keys()];
    },
  };
}

function goodClaims() {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: issuer,
    sub: 'usr_1',
    aud: resource,
    client_id: 'clt_1',
    iat: now,
    exp: now + 900,
    jti: 'token-1',
    scope: 'things:read things:write',
    auth_time: now,
    grant_id: 'grt_1',
    epochs: [1, 1],
  };
}
