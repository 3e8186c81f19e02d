import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { describe, expect } from 'vitest';
import type { Issuer } from '#issuer';
import { createPkce } from '#oauth';
import { createProver } from '../support/dpop.ts';
import { basic, callback, formOf } from '../support/issuing.ts';
import { approvedDevice, bearerGrant, deviceGrant, openPair, type Pair, places, trustedSigner } from '../support/issuing-pair.ts';
import { count, testWith } from '../support/need.ts';
import { testIssuer } from '../support/people.ts';

const rounds = count(2, 1_000);
const crowd = 50;

/** Spends one value at this server; resolves to what was got for it. */
type Spend = (which: 0 | 1) => Promise<string | undefined>;
/** Lays a new value out, again and again. */
type Laying = () => Promise<Spend>;

type Token = Awaited<ReturnType<Issuer['token']>>;
const accessToken = ({ accessToken: token }: Token) => token.reveal();

/** A minute ahead, for what an earlier time may have been used before Redis began to remember. */
const ahead = ({ first }: Pair) => Math.floor(first.people.clock.now() / 1000) + 60;

async function codes(pair: Pair): Promise<Laying> {
  const client = await pair.first.add();
  return async () => {
    const { code, verifier } = await pair.first.code(client);
    const given = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callback };
    return async (which) => accessToken(await pair.ask(which, client, given));
  };
}

/** The stored answer counts as the same success: what is got for the token is its successor. */
async function refreshTokens(pair: Pair): Promise<Laying> {
  const client = await pair.first.add();
  return async () => {
    const refresh_token = (await pair.first.tokens(client)).refreshToken?.reveal() ?? '';
    return async (which) => (await pair.ask(which, client, { grant_type: 'refresh_token', refresh_token })).refreshToken?.reveal();
  };
}

async function deviceCodes(pair: Pair): Promise<Laying> {
  const client = await pair.first.add({ grantTypes: [deviceGrant] });
  return async () => {
    const given = { grant_type: deviceGrant, device_code: await approvedDevice(pair, client) };
    return async (which) => accessToken(await pair.ask(which, client, given));
  };
}

async function pushedRequests({ first, both }: Pair): Promise<Laying> {
  const client = await first.add();
  await first.code(client, { scope: 'openid' });
  const { challenge } = createPkce();
  const asked = { response_type: 'code', client_id: client.id, redirect_uri: callback, scope: 'openid' };
  const parameters = formOf({ ...asked, code_challenge: challenge, code_challenge_method: 'S256' });
  const browsing = { session: first.session, binding: 'the browser', address: '192.0.2.1' };
  return async () => {
    const { requestUri } = await both[0].push(first.at, { parameters, authorization: basic(client) }, '192.0.2.1');
    const query = formOf({ client_id: client.id, request_uri: requestUri });
    return async (which) => {
      const answer = await both[which].authorize(await both[which].at(undefined), query, browsing);
      return (answer.kind === 'redirect' ? new URL(answer.to).searchParams.get('code') : null) ?? undefined;
    };
  };
}

async function trustedAssertions(pair: Pair): Promise<Laying> {
  const client = await pair.first.add({ grantTypes: [bearerGrant] });
  const signer = await trustedSigner(pair.first, client);
  return async () => {
    const given = { grant_type: bearerGrant, assertion: await signer() };
    return async (which) => accessToken(await pair.ask(which, client, given));
  };
}

/** Each presentation is another assertion, with the same `jti`. */
async function clientAssertions(pair: Pair): Promise<Laying> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwks = [{ ...(await exportJWK(publicKey)) }];
  const { id } = await pair.first.add({ authentication: 'private_key_jwt', jwks, grantTypes: ['client_credentials'] });
  return async () => {
    const jti = randomUUID();
    return async (which) => {
      const claims = { iss: id, sub: id, aud: testIssuer, iat: ahead(pair), exp: ahead(pair) + 240, jti };
      const client_assertion = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
      const client_assertion_type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
      const parameters = formOf({ grant_type: 'client_credentials', client_assertion, client_assertion_type });
      const issuer = pair.both[which];
      return accessToken(await issuer.token(await issuer.at(undefined), { parameters, authorization: undefined }));
    };
  };
}

/** Each presentation is another proof, with the same `jti`. */
async function dpopProofs(pair: Pair): Promise<Laying> {
  const client = await pair.first.add({ grantTypes: ['client_credentials'] });
  const prover = await createProver(`${testIssuer}/token`, () => ahead(pair) * 1000);
  const parameters = formOf({ grant_type: 'client_credentials' });
  return async () => {
    const jti = randomUUID();
    return async (which) => {
      const sender = { method: 'POST', proofs: [await prover.proof({ claims: { jti } })] };
      const issuer = pair.both[which];
      return accessToken(await issuer.token(await issuer.at(undefined), { parameters, authorization: basic(client), sender }));
    };
  };
}

const values: readonly (readonly [string, (pair: Pair) => Promise<Laying>])[] = [
  ['code', codes],
  ['refresh token', refreshTokens],
  ['device code', deviceCodes],
  ['pushed request', pushedRequests],
  ['assertion of a trusted issuer', trustedAssertions],
  ['jti of a client assertion', clientAssertions],
  ['jti of a DPoP proof', dpopProofs],
];

const tried = places.filter(({ name }) => name === 'sqlite' || name.endsWith('with redis'));

describe.each(tried)('of fifty requests at once to two servers on $name', (place) => {
  let opened: Promise<Pair> | undefined;
  const pair = () => {
    opened ??= place.make().then(openPair);
    return opened;
  };

  for (const [name, prepare] of values)
    testWith(...place.needs)(
      `exactly one gets something for one ${name}, in ${rounds} rounds`,
      async () => {
        const over = await pair();
        const lay = await prepare(over);
        await over.heard();
        for (let round = 0; round < rounds; round++) {
          const spend = await lay();
          const tries = await Promise.allSettled(Array.from({ length: crowd }, (_, index) => spend((index % 2) as 0 | 1)));
          const got = new Set(tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value ?? 'nothing'] : [])));
          expect([got.size, got.has('nothing')], tries.map(toldOf).join()).toEqual([1, false]);
          const many = tries.filter(({ status }) => status === 'fulfilled').length;
          if (name !== 'refresh token') expect(many).toBe(1);
        }
      },
      count(60_000, 3_600_000),
    );
});

/** What a refusal is, for who reads a failure. */
function toldOf(one: PromiseSettledResult<unknown>): string {
  return one.status === 'rejected' ? String((one.reason as { readonly code?: string }).code ?? one.reason) : 'ok';
}
