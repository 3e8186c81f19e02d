import { createHash, randomBytes } from 'node:crypto';
import { afterAll } from 'vitest';
import { type Browsing, type ClientDraft, createIssuer, type Issuer, type Issuing, type ResourceRequest, type TokenAnswer } from '#issuer';
import { createJobs } from '#jobs';
import { type ClientId, type FaultCode, isFault, type Principal, silentLog } from '#kernel';
import { createPkce } from '#oauth';
import type { Session } from '#signin';
import { testNet } from './net.ts';
import { completeTestSetup, openPeople, type People } from './people.ts';

const open = new Set<Issuer>();
afterAll(async () => {
  for (const issuer of open) await issuer.close();
});

export const callback = 'https://app.example/callback';
export const api = 'https://api.example/';

/** The issuer of the default organization over real rooms, with somebody signed in. */
export interface Issuance {
  readonly people: People;
  readonly issuer: Issuer;
  readonly at: Issuing;
  readonly session: Session;
  readonly by: Principal;
  /** A client with this secret. */
  add(changes?: Partial<ClientDraft>): Promise<Registered>;
  /** Through the pages' own steps, to a code. */
  code(client: Registered, more?: Asked): Promise<Coded>;
  token(client: Registered, parameters: Asked): Promise<TokenAnswer>;
  tokens(client: Registered, more?: Asked): Promise<TokenAnswer>;
  active(client: Registered, token: string): Promise<boolean>;
}

/** Parameters of a request; some may be there several times. */
type Asked = Readonly<Record<string, string | readonly string[]>>;

export interface Registered {
  readonly id: ClientId;
  readonly secret: string;
}

export interface Coded {
  readonly code: string;
  readonly verifier: string;
}

export const draft: ClientDraft = {
  name: 'The App',
  authentication: 'client_secret_basic',
  secretHash: undefined,
  redirectUris: [callback],
  grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
  scopes: ['openid', 'email', 'profile', 'things:read', 'things:write'],
  resources: [api, 'https://other.example/'],
  protects: [],
  jwks: [],
  signing: 'ES256',
  requirePushedAuthorizationRequests: false,
  requireSignedRequestObject: false,
  authorizationDetailsTypes: [],
  lives: {},
  dpopBound: false,
  certificateBound: false,
};

export function formOf(parameters: Asked): string {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((one) => [name, one] as [string, string]));
  return new URLSearchParams(pairs).toString();
}

export function basic({ id, secret }: Registered): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
}

/** A token as it is shown at a resource. */
export function bearer(token: string): ResourceRequest {
  return { authorization: `Bearer ${token}`, sender: { method: 'GET', proofs: [] } };
}

/** The code of the fault that this throws. */
export async function faultOf(work: Promise<unknown>): Promise<FaultCode | undefined> {
  try {
    await work;
  } catch (error) {
    if (isFault(error)) return error.code;
    throw error;
  }
  return undefined;
}

/** Over these people, and this issuer and session of theirs, where they are given. */
export async function openIssuance(given?: People, over?: Issuer, known?: Session): Promise<Issuance> {
  const people = given ?? (await openPeople());
  const { store, identity, vault, audit, clock } = people;
  const { records, ephemera, changes } = store;
  const jobs = createJobs({ records, clock, log: silentLog, kinds: [] });
  const shared = { records, ephemera, changes, identity, vault, audit, signin: people.signin, jobs, clock, log: silentLog };
  const issuer = over ?? createIssuer({ ...shared, net: testNet([], clock), registration: 'open' });
  open.add(issuer);
  const session = known ?? (await completeTestSetup(people)).session;
  const by = session.principal;
  const at = await issuer.at(undefined);
  const browsing: Browsing = { session, binding: 'the browser', address: '127.0.0.1' };

  async function add(changes: Partial<ClientDraft> = {}): Promise<Registered> {
    const secret = randomBytes(32).toString('base64url');
    const whole = { ...draft, secretHash: createHash('sha256').update(secret).digest('hex'), ...changes };
    const secretless = !whole.authentication.startsWith('client_secret');
    const id = await records
      .in(by.organization)
      .write((tx) => issuer.clients.add(tx, by, secretless ? { ...whole, secretHash: undefined } : whole));
    return { id, secret };
  }

  async function code(client: Registered, more: Asked = {}): Promise<Coded> {
    const { challenge, verifier } = createPkce();
    const asked = {
      response_type: 'code',
      client_id: client.id,
      redirect_uri: callback,
      code_challenge: challenge,
      code_challenge_method: 'S256',
    };
    let answer = await issuer.authorize(at, formOf({ ...asked, ...more }), browsing);
    if (answer.kind === 'consent') answer = await issuer.answer(at, answer.transaction, browsing, 'all');
    const to = answer.kind === 'redirect' ? new URL(answer.to).searchParams : new URLSearchParams();
    const given = to.get('code');
    if (given === null) throw new Error(`no code: ${JSON.stringify(answer)}`);
    return { code: given, verifier: verifier.reveal() };
  }

  const token: Issuance['token'] = (client, parameters) =>
    issuer.token(at, { parameters: formOf(parameters), authorization: basic(client) });
  return {
    people,
    issuer,
    at,
    session,
    by,
    add,
    code,
    token,
    async tokens(client, more) {
      const { code: given, verifier } = await code(client, more);
      return token(client, { grant_type: 'authorization_code', code: given, code_verifier: verifier, redirect_uri: callback });
    },
    active: async (client, text) =>
      (await issuer.introspect(at, { parameters: formOf({ token: text }), authorization: basic(client) })).active === true,
  };
}
