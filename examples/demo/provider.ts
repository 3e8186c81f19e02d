// A process of its own: a real OAuth provider. Parameters: issuer, port, audience, certificate file, key file.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const [issuer, port, audience, certFile, keyFile] = process.argv.slice(2) as [string, string, string, string, string];
const scopes = 'notes:read notes:write';

const provider = new Provider(issuer, {
  scopes: ['openid', 'offline_access', ...scopes.split(' ')],
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: scopes,
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  claims: { openid: ['sub'], profile: ['name', 'email'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: 'Olive Owner', email: 'olive@demo.test' }) }),
  pkce: { required: () => true },
  issueRefreshToken: async (_, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: ['only-for-this-demo'] },
});

/** The person at the provider: signs in and agrees at once. */
provider.use(async (context, next) => {
  if (!context.path.startsWith('/interaction/')) return next();
  const { prompt, params, grantId, session } = await provider.interactionDetails(context.req, context.res);
  const accountId = session?.accountId ?? 'olive';
  if (prompt.name === 'login')
    return provider.interactionFinished(context.req, context.res, { login: { accountId } }, { mergeWithLastSubmission: false });
  const grant =
    grantId === undefined ? new provider.Grant({ accountId, clientId: String(params.client_id) }) : await provider.Grant.find(grantId);
  grant?.addOIDCScope(`openid offline_access ${scopes}`);
  grant?.addResourceScope(audience, scopes);
  return provider.interactionFinished(
    context.req,
    context.res,
    { consent: { grantId: (await grant?.save()) ?? '' } },
    { mergeWithLastSubmission: true },
  );
});

createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, provider.callback()).listen(Number(port), '127.0.0.1', () => {
  process.stdout.write('ready\n');
});
