import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ClientDraft } from '#issuer';
import { createPkce } from '#oauth';
import { basic, callback, draft, formOf, type Registered } from './issuing.ts';
import { testPassword } from './people.ts';
import type { Received, Serving, SignedIn } from './serving.ts';

/** A client's server that takes logout tokens. */
export interface Receiver {
  readonly uri: string;
  readonly port: number;
  /** Bodies of the posts, in order. */
  readonly heard: string[];
  /** What it answers next; 200 once these are used up. */
  readonly answers: number[];
  close(): void;
}

export async function openReceiver(): Promise<Receiver> {
  const heard: string[] = [];
  const answers: number[] = [];
  const server: Server = createServer((request, answer) => {
    let body = '';
    request.on('data', (part: Buffer) => {
      body += part.toString();
    });
    request.on('end', () => {
      heard.push(body);
      answer.writeHead(answers.shift() ?? 200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { uri: `http://localhost:${port}/backchannel`, port, heard, answers, close: () => server.close() };
}

export async function registerClient(serving: Serving, { session }: SignedIn, changes: Partial<ClientDraft>): Promise<Registered> {
  const secret = createHash('sha256').update(String(Math.random())).digest('base64url');
  const secretHash = createHash('sha256').update(secret).digest('hex');
  const by = session.principal;
  const id = await serving.people.store.records
    .in(by.organization)
    .write((tx) => serving.issuer.clients.add(tx, by, { ...draft, secretHash, ...changes }));
  return { id, secret };
}

export interface Tokens {
  readonly id_token: string;
  readonly access_token: string;
  readonly refresh_token: string;
  readonly error?: string;
}

/** Tokens of the person, in their session. */
export async function tokensOf(serving: Serving, { session }: SignedIn, client: Registered, scope = 'openid'): Promise<Tokens> {
  const { issuer } = serving;
  const at = await issuer.at(undefined);
  const { challenge, verifier } = createPkce();
  const browsing = { session, binding: 'the browser', address: '127.0.0.1' };
  const query = { response_type: 'code', client_id: client.id, redirect_uri: callback, scope };
  const pkce = { code_challenge: challenge, code_challenge_method: 'S256' };
  let answer = await issuer.authorize(at, formOf({ ...query, ...pkce }), browsing);
  if (answer.kind === 'consent') answer = await issuer.answer(at, answer.transaction, browsing, 'all');
  const code = answer.kind === 'redirect' ? (new URL(answer.to).searchParams.get('code') ?? '') : '';
  const form = { grant_type: 'authorization_code', code, code_verifier: verifier.reveal(), redirect_uri: callback };
  return (await askToken(serving, client, form)) as Tokens;
}

export async function askToken(serving: Serving, client: Registered, form: Parameters<typeof formOf>[0]): Promise<Partial<Tokens>> {
  const answer = await serving.send({
    method: 'POST',
    path: '/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: basic(client) },
    body: formOf(form),
  });
  return answer.json() as Partial<Tokens>;
}

export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
}

/** What the first form of a page carries beside what the person types. */
export function hiddenOf(page: Received): Record<string, string> {
  const fields = [...page.text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)];
  return Object.fromEntries(fields.map(([, name = '', value = '']) => [name, value.replaceAll('&amp;', '&')]));
}

export async function signInAgain(serving: Serving, { user, session }: SignedIn): Promise<SignedIn> {
  const { signin, vault } = serving.people;
  const started = await signin.signIn(user.organization, user.email, testPassword, '127.0.0.1', session.id);
  const token = vault.mac('http form', `session ${started.session.id}`);
  return { user, session: started.session, cookie: `__Host-gatehouse_session=${started.bearer.reveal()}`, token };
}
