import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from 'jose';

/** An issuer that answers what a verifier asks for, and tokens of it. */
export interface BenchIssuer {
  readonly issuer: string;
  readonly resource: string;
  readonly keys: JSONWebKeySet;
  tokens(count: number): Promise<readonly string[]>;
  close(): void;
}

export async function openIssuer(): Promise<BenchIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'key', alg: 'ES256', use: 'sig' }] };
  let issuer = '';
  const answers: Readonly<Record<string, () => unknown>> = {
    '/.well-known/openid-configuration': () => ({
      issuer,
      jwks_uri: `${issuer}/keys`,
      token_endings_uri: `${issuer}/endings`,
      introspection_endpoint: `${issuer}/introspect`,
    }),
    '/keys': () => keys,
    '/endings': () => ({ epoch: 1, whole: true, more: false, cursor: '1.0', ended: [], keys: ['key'], held: 0, age: 0 }),
  };
  const server = createServer((request, response) => {
    response.end(JSON.stringify(answers[(request.url ?? '').split('?')[0] ?? '']?.() ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const resource = 'https://api.example/';
  const token = (number: number) =>
    new SignJWT({
      client_id: 'clt_bench',
      jti: `token-${number}`,
      grant_id: 'grt_bench',
      scope: 'things:read things:write',
      epochs: [1, 1],
    })
      .setProtectedHeader({ alg: 'ES256', kid: 'key', typ: 'at+jwt' })
      .setIssuer(issuer)
      .setSubject('usr_bench')
      .setAudience(resource)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey);
  return {
    issuer,
    resource,
    keys,
    tokens: (count) => Promise.all(Array.from({ length: count }, (_, number) => token(number))),
    close: () => void server.close(),
  };
}
