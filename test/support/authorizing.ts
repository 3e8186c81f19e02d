import type { ClientDraft } from '#issuer';
import { createPkce } from '#oauth';
import { basic, callback, formOf, openIssuance, type Registered } from './issuing.ts';
import { testIssuer, testPassword } from './people.ts';
import { openServing, post, type Received, type Serving, type SignedIn, signedIn } from './serving.ts';

type Asked = Parameters<typeof formOf>[0];

/** One browser with a person in it, and clients, before the whole application. */
export interface Authorizing {
  readonly serving: Serving;
  readonly person: SignedIn;
  add(changes?: Partial<ClientDraft>): Promise<Registered>;
  /** The parameters of a request for a code, with a challenge whose verifier is `verifier`. */
  asked(client: Registered, more?: Asked): Asked;
  readonly verifier: string;
  /** A form, as a client posts it. */
  form(path: string, parameters: Asked, headers?: Readonly<Record<string, string>>): Promise<Received>;
  push(client: Registered, parameters: Asked): Promise<Received>;
  /** The authorization endpoint, in the person's browser. */
  open(parameters: Asked): Promise<Received>;
  /** Says yes where it is asked; gives the address that the browser leaves to. */
  through(begun: Received): Promise<URL>;
  redeem(client: Registered, code: string, more?: Asked): Promise<Received>;
}

export async function openAuthorizing(): Promise<Authorizing> {
  const serving = await openServing();
  const person = await signedIn(serving);
  const { add } = await openIssuance(serving.people, serving.issuer, person.session);
  const { challenge, verifier } = createPkce();
  const form: Authorizing['form'] = (path, parameters, headers = {}) =>
    serving.send({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: formOf(parameters),
    });
  const open = (parameters: Asked) => serving.send({ path: `/authorize?${formOf(parameters)}`, headers: { cookie: person.cookie } });
  return {
    serving,
    person,
    add,
    verifier: verifier.reveal(),
    asked: (client, more = {}) => ({
      response_type: 'code',
      client_id: client.id,
      redirect_uri: callback,
      code_challenge: challenge,
      code_challenge_method: 'S256',
      state: 'a b',
      ...more,
    }),
    form,
    push: (client, parameters) => form('/par', parameters, { authorization: basic(client) }),
    open,
    through: (begun) => through(serving, person, begun),
    redeem: (client, code, more = {}) =>
      form(
        '/token',
        { grant_type: 'authorization_code', code, code_verifier: verifier.reveal(), redirect_uri: callback, ...more },
        { authorization: basic(client) },
      ),
  };
}

async function through(serving: Serving, person: SignedIn, begun: Received): Promise<URL> {
  const to = new URL(String(begun.headers.location), testIssuer);
  if (to.origin !== testIssuer) return to;
  const browser = [begun.headers['set-cookie'] ?? []].flat().find((text) => text.includes('gatehouse_browser'));
  const who = { ...person, cookie: `${person.cookie}; ${browser?.split(';')[0]}` };
  const page = await serving.send({ path: to.pathname + to.search, headers: { cookie: who.cookie } });
  if (page.status === 303) return new URL(String(page.headers.location));
  const transaction = to.searchParams.get('transaction') ?? '';
  const said = await post(serving, who, '/authorize/answer', { transaction, answer: 'yes', password: testPassword.reveal() });
  return new URL(String(said.headers.location));
}

/** What an answer at the redirect URI holds. */
export function answerIn(url: URL): Readonly<Record<string, string>> {
  return Object.fromEntries(url.searchParams);
}

/** The claims of a token, unverified. */
export function claimsOf(token: unknown): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(String(token).split('.')[1] ?? '', 'base64url').toString()) as Readonly<Record<string, unknown>>;
}
