import { createHash, randomBytes } from 'node:crypto';
import * as client from 'openid-client';
import type { ClientDraft } from '#issuer';
import type { Principal } from '#kernel';
import { basic, draft, formOf, type Registered } from './issuing.ts';
import { testIssuer } from './people.ts';
import type { Received, Serving } from './serving.ts';

/** Registers a client with a secret, or without one where it takes none. */
export async function register(serving: Serving, by: Principal, changes: Partial<ClientDraft> = {}): Promise<Registered> {
  const secret = randomBytes(32).toString('base64url');
  const whole = { ...draft, secretHash: createHash('sha256').update(secret).digest('hex'), ...changes };
  const secretless = whole.authentication === 'none' || whole.authentication === 'private_key_jwt';
  const id = await serving.people.store.records
    .in(by.organization)
    .write((tx) => serving.issuer.clients.add(tx, by, secretless ? { ...whole, secretHash: undefined } : whole));
  return { id, secret };
}

/** A form to an OAuth endpoint, as this client. */
export function asClient(
  serving: Serving,
  registered: Registered,
  path: string,
  parameters: Parameters<typeof formOf>[0],
): Promise<Received> {
  return serving.send({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: basic(registered) },
    body: formOf(parameters),
  });
}

/**
 * `openid-client` for a client that is registered here: discovery, then requests that reach this server whatever its URL says.
 * `before` runs before each request to the token endpoint, so that a test can let time pass.
 */
export async function relyingParty(serving: Serving, { id, secret }: Registered, before: () => Promise<void> = async () => undefined) {
  const send: client.CustomFetch = async (url, { method, headers, body }) => {
    const path = url.slice(testIssuer.length);
    if (path === '/token') await before();
    const answer = await serving.send({ method, path, headers, ...(body === undefined ? {} : { body: String(body) }) });
    return new Response(answer.text, { status: answer.status, headers: answer.headers as Record<string, string> });
  };
  // Its clock is the machine's, the server's is the test's.
  const clockSkew = Math.round((serving.people.clock.now() - Date.now()) / 1000);
  return client.discovery(new URL(testIssuer), id, { [client.clockSkew]: clockSkew }, client.ClientSecretBasic(secret), {
    [client.customFetch]: send,
  });
}
