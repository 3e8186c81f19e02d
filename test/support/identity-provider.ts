import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';
import { Secret } from '#kernel';
import type { UpstreamDraft } from '#signin';
import type { People } from './people.ts';

const closing: (() => void)[] = [];
afterAll(() => {
  for (const close of closing.splice(0)) close();
});

export type TestClaims = Readonly<Record<string, unknown>>;

/** What the ID token of one sign-in says, and who signs it. */
interface Issued {
  readonly claims: TestClaims;
  readonly userinfo: TestClaims | undefined;
  readonly header: TestClaims;
  readonly unsigned: boolean;
  readonly foreignKey: boolean;
  readonly asked: URLSearchParams;
}

export type Saying = Partial<Omit<Issued, 'asked'>>;

/** An OpenID provider on loopback that says what a test has it say, and is strict about what it is asked. */
export interface IdentityProvider {
  readonly port: number;
  readonly issuer: string;
  readonly tokenRequests: URLSearchParams[];
  /** How long it takes to answer anything, in milliseconds. */
  delay: number;
  /** Its server answers with errors alone. */
  broken: boolean;
  /** Signs the person in who was sent here: the parameters that the browser takes back. */
  answer(address: string, saying?: Saying): URLSearchParams;
  close(): void;
}

export const testClient = { id: 'our-client', secret: 'our-secret-our-secret-our-secret' } as const;

export async function startIdentityProvider(): Promise<IdentityProvider> {
  const [keys, foreign] = [newKeys(), newKeys()];
  const jwk = { ...keys.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256', use: 'sig' };
  const issued = new Map<string, Issued>();
  const bearers = new Map<string, Issued>();
  const server = createServer(
    (request, response) => void read(request).then((text) => setTimeout(handle, idp.delay, request, response, text)),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const issuer = `http://localhost:${port}`;

  const idp: IdentityProvider = {
    port,
    issuer,
    tokenRequests: [],
    delay: 0,
    broken: false,
    answer(address, saying = {}) {
      const asked = new URL(address).searchParams;
      const code = randomBytes(16).toString('hex');
      issued.set(code, { claims: {}, userinfo: undefined, header: {}, unsigned: false, foreignKey: false, ...saying, asked });
      return new URLSearchParams({ code, state: asked.get('state') ?? '', iss: issuer });
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  closing.push(() => idp.close());

  function handle(request: IncomingMessage, response: ServerResponse, text: string): void {
    const json = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const path = request.url ?? '';
    if (idp.broken) return void json(500, {});
    if (path === '/.well-known/openid-configuration') return void json(200, metadataOf(issuer));
    if (path === '/jwks') return void json(200, { keys: [jwk] });
    if (path === '/userinfo') return void json(200, userinfoOf(bearers.get((request.headers.authorization ?? '').slice(7))));
    if (path !== '/token') return void json(404, {});
    const asked = new URLSearchParams(text);
    idp.tokenRequests.push(asked);
    const one = issued.get(asked.get('code') ?? '');
    issued.delete(asked.get('code') ?? '');
    if (one === undefined || !holds(request, asked, one)) return void json(400, { error: 'invalid_grant' });
    const access = randomBytes(16).toString('hex');
    bearers.set(access, one);
    return void json(200, { access_token: access, token_type: 'Bearer', expires_in: 60, id_token: idToken(one) });
  }

  function idToken({ claims, header, unsigned, foreignKey, asked }: Issued): string {
    const now = Math.floor(Date.now() / 1000);
    const whole = { iss: issuer, aud: testClient.id, iat: now, exp: now + 300, nonce: asked.get('nonce'), ...claims };
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    if (unsigned) return `${part({ alg: 'none' })}.${part(whole)}.`;
    const signed = `${part({ alg: 'ES256', kid: 'k1', ...header })}.${part(whole)}`;
    const key = foreignKey ? foreign.privateKey : keys.privateKey;
    return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
  return idp;
}

const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

const userinfoOf = (one: Issued | undefined): TestClaims => one?.userinfo ?? (one === undefined ? {} : { sub: one.claims.sub });

function metadataOf(issuer: string) {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    userinfo_endpoint: `${issuer}/userinfo`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    authorization_response_iss_parameter_supported: true,
  };
}

/** Client, redirect URI and PKCE, as an authorization server has to check them. */
function holds(request: IncomingMessage, asked: URLSearchParams, { asked: begun }: Issued): boolean {
  const challenge = createHash('sha256')
    .update(asked.get('code_verifier') ?? '')
    .digest('base64url');
  const basic = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString();
  return (
    decodeURIComponent(basic) === `${testClient.id}:${testClient.secret}` &&
    asked.get('redirect_uri') === begun.get('redirect_uri') &&
    begun.get('code_challenge_method') === 'S256' &&
    challenge === begun.get('code_challenge')
  );
}

async function read(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

export function upstreamDraft(issuer: string, more: Partial<UpstreamDraft> = {}): UpstreamDraft {
  return {
    name: 'corp',
    kind: 'oidc',
    label: 'Corp',
    issuer,
    clientId: testClient.id,
    credential: { kind: 'secret', secret: new Secret<string>(testClient.secret) },
    scopes: [],
    domains: [],
    signUp: false,
    ...more,
  };
}

/** Stores an upstream as a person's yes does. */
export async function giveUpstream(people: Pick<People, 'signin' | 'store' | 'organization'>, draft: UpstreamDraft): Promise<void> {
  const { upstreams } = people.signin;
  const by = { organization: people.organization.id, subject: { kind: 'operator' }, actors: [] } as const;
  const store = await upstreams.keep(by, await upstreams.hold(by, draft));
  await people.store.records.in(by.organization).write(store);
}
