// A process of its own: the whole server over a real store on SQLite, with clients, resources and a person. Prints one line of JSON,
// then answers each line of its input (a number) with so many authorization codes.
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readSettings } from '#config';
import type { Browsing, ClientDraft, ResourceDraft } from '#issuer';
import { createJobs } from '#jobs';
import { Secret, silentLog, systemClock } from '#kernel';
import { createPkce } from '#oauth';
import { buildParts } from '../../../src/bin/parts.ts';
import { createServer } from '../../../src/bin/serve.ts';
import { jwtResource, opaqueResource, redirectUri, type Target } from './target.ts';

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const port = Number(process.argv[2]);
const env = {
  HOME: folder,
  XDG_CONFIG_HOME: join(folder, 'config'),
  XDG_RUNTIME_DIR: join(folder, 'runtime'),
  GATEHOUSE_HOME: join(folder, 'home'),
  GATEHOUSE_PORT: String(port),
  // Over plain http a consent is asked for each time.
  GATEHOUSE_PUBLIC_URL: `https://127.0.0.1:${port}`,
};
mkdirSync(env.XDG_RUNTIME_DIR, { mode: 0o700 });
const { settings } = readSettings({ env, aliases: false });
const parts = await buildParts({ settings, env, dev: false, clock: systemClock, log: silentLog });
const { issuer, signin, store, organization } = parts;
const jobs = createJobs({ records: store.records, clock: systemClock, log: silentLog, kinds: [], atOnce: 1 });
const http = createServer(parts, jobs, { accept: (line) => void line.destroy(), close: () => undefined }, 'bench');
await http.listen({ host: '127.0.0.1', port });
const { token } = await signin.setupLink();
const person = { email: 'owner@example.test', name: 'Olive', password: new Secret('plum orbit 94 lantern') };
const { session } = await signin.completeSetup(token.reveal(), person, '127.0.0.1');
const by = session.principal;
const scope = store.records.in(organization.id);
const at = await issuer.at(undefined);

for (const [identifier, tokenFormat] of [
  [jwtResource, 'jwt'],
  [opaqueResource, 'opaque'],
] as const) {
  const scopes = [{ name: 'things:read', tells: 'read your things' }];
  const resource: ResourceDraft = { identifier, name: identifier, scopes, tokenFormat, algorithm: 'ES256', open: false };
  await scope.write((tx) => issuer.resources.add(tx, by, resource));
}
const client = await register({ resources: [jwtResource, opaqueResource] });
const server = await register({ grantTypes: [], redirectUris: [], scopes: [], protects: [jwtResource, opaqueResource] });
const target: Target = { port, client, server, paths: { token: '/token', introspect: '/introspect', keySet: '/jwks.json' } };
// From the first on the person is not asked again.
await code();
process.stdout.write(`${JSON.stringify(target)}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const codes = await Promise.all(Array.from({ length: Number(line) }, code));
  process.stdout.write(`${JSON.stringify(codes)}\n`);
}

async function register(changes: Partial<ClientDraft>): Promise<Target['client']> {
  const secret = randomBytes(32).toString('base64url');
  const draft: ClientDraft = {
    name: 'The bench',
    authentication: 'client_secret_basic',
    secretHash: createHash('sha256').update(secret).digest('hex'),
    redirectUris: [redirectUri],
    grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
    scopes: ['openid', 'things:read'],
    resources: [],
    protects: [],
    jwks: [],
    signing: 'ES256',
    requirePushedAuthorizationRequests: false,
    requireSignedRequestObject: false,
    dpopBound: false,
    certificateBound: false,
    authorizationDetailsTypes: [],
    lives: {},
    ...changes,
  };
  return { id: await scope.write((tx) => issuer.clients.add(tx, by, draft)), secret };
}

async function code(): Promise<{ readonly code: string; readonly verifier: string }> {
  const { challenge, verifier } = createPkce();
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: redirectUri,
    scope: 'openid things:read',
    resource: jwtResource,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  });
  const address = `10.${randomBytes(3).join('.')}`;
  const browsing: Browsing = { session, binding: 'bench', address };
  let answer = await issuer.authorize(at, query.toString(), browsing);
  if (answer.kind === 'consent') answer = await issuer.answer(at, answer.transaction, browsing, 'all');
  if (answer.kind !== 'redirect') throw new Error(answer.kind);
  return { code: new URL(answer.to).searchParams.get('code') ?? '', verifier: verifier.reveal() };
}
