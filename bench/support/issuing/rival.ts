// A process of its own: oidc-provider with its adapter in memory, the same algorithm and the same authentication of clients. Prints one
// line of JSON, then answers each line of its input (a number) with so many authorization codes.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import OidcProvider, { type Configuration } from 'oidc-provider';
import { createPkce } from '#oauth';
import { jwtResource, opaqueResource, redirectUri, type Target } from './target.ts';

const port = Number(process.argv[2]);
const secret = () => randomBytes(32).toString('base64url');
const client = { id: 'the-client', secret: secret() };
const server = { id: 'the-server', secret: secret() };
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const configuration: Configuration = {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'one' } as never] },
  clients: [
    {
      client_id: client.id,
      client_secret: client.secret,
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      response_types: ['code'],
      id_token_signed_response_alg: 'ES256',
      token_endpoint_auth_method: 'client_secret_basic',
    },
    {
      client_id: server.id,
      client_secret: server.secret,
      redirect_uris: [],
      grant_types: [],
      response_types: [],
      id_token_signed_response_alg: 'ES256',
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  scopes: ['openid', 'offline_access', 'things:read'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: async () => true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (_, indicator) => ({
        scope: 'things:read',
        audience: indicator,
        accessTokenTTL: 900,
        accessTokenFormat: indicator === opaqueResource ? 'opaque' : 'jwt',
        ...(indicator === opaqueResource ? {} : { jwt: { sign: { alg: 'ES256' } } }),
      }),
    },
  },
  ttl: { AccessToken: 900, ClientCredentials: 900, AuthorizationCode: 600, IdToken: 3600, RefreshToken: 86_400, Grant: 86_400 },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  cookies: { keys: ['only here'] },
};
const provider = new OidcProvider(`http://127.0.0.1:${port}`, configuration);
const http = createServer(provider.callback());
http.listen(port, '127.0.0.1', () => {
  const target: Target = { port, client, server, paths: { token: '/token', introspect: '/token/introspection', keySet: '/jwks' } };
  process.stdout.write(`${JSON.stringify(target)}\n`);
});
for await (const line of createInterface({ input: process.stdin })) {
  const codes = await Promise.all(Array.from({ length: Number(line) }, code));
  process.stdout.write(`${JSON.stringify(codes)}\n`);
}

async function code(): Promise<{ readonly code: string; readonly verifier: string }> {
  const { challenge, verifier } = createPkce();
  const found = await provider.Client.find(client.id);
  if (found === undefined) throw new Error('the client is not there');
  const grant = new provider.Grant({ accountId: 'olive', clientId: client.id });
  grant.addOIDCScope('openid offline_access');
  grant.addResourceScope(jwtResource, 'things:read');
  const grantId = await grant.save();
  const made = new provider.AuthorizationCode({
    accountId: 'olive',
    client: found,
    grantId,
    redirectUri,
    scope: 'openid offline_access things:read',
    resource: jwtResource,
    gty: 'authorization_code',
    codeChallenge: challenge,
    codeChallengeMethod: 'S256',
  } as never);
  return { code: await made.save(), verifier: verifier.reveal() };
}
