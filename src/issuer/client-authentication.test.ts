import { createHash, randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { basic, bearer, faultOf, formOf, type Issuance, openIssuance, type Registered } from '../../test/support/issuing.ts';

let issuance: Issuance;
beforeAll(async () => {
  issuance = await openIssuance();
});

const asked = { grant_type: 'client_credentials' };
const attempt = (parameters: Readonly<Record<string, string>>, authorization?: string) =>
  faultOf(issuance.issuer.token(issuance.at, { parameters: formOf({ ...asked, ...parameters }), authorization }));

describe('a client with a secret', () => {
  let client: Registered;
  beforeAll(async () => {
    client = await issuance.add();
  });
  const posted = () => ({ client_id: client.id, client_secret: client.secret });

  it('sends it in the header or in the body, and not in both', async () => {
    expect(await attempt({}, basic(client))).toBeUndefined();
    expect(await attempt({ client_id: client.id }, basic(client))).toBeUndefined();
    expect(await attempt(posted())).toBeUndefined();
    expect(await attempt(posted(), basic(client))).toBe('invalid_request');
    expect(await attempt({ client_id: 'clt_other' }, basic(client))).toBe('invalid_request');
  });

  it('is refused without it, with another, or as a client that is not there', async () => {
    expect(await attempt({ client_id: client.id })).toBe('client_unauthenticated');
    expect(await attempt({ ...posted(), client_secret: `${client.secret}x` })).toBe('client_unauthenticated');
    expect(await attempt({}, basic({ ...client, secret: '' }))).toBe('client_unauthenticated');
    expect(await attempt({ client_id: 'nobody', client_secret: client.secret })).toBe('client_unauthenticated');
    for (const header of ['Basic', 'Basic !!!', 'Basic Og==', 'Basic JTpi', `Bearer ${client.secret}`])
      expect(await attempt({}, header), header).toBe('client_unauthenticated');
  });

  it('has it alone: one that is in use is refused, for whichever client', async () => {
    const secretHash = createHash('sha256').update(client.secret).digest('hex');
    expect(await faultOf(issuance.add({ secretHash }))).toBe('client_invalid');
  });

  it('may have several at once, each until it expires or is ended', async () => {
    const { people, issuer, by } = issuance;
    const own = await issuance.add();
    const expiresAt = people.clock.now() + 1_000;
    const second = 'second';
    const hash = createHash('sha256').update(second).digest('hex');
    await people.store.records.in(by.organization).write((tx) => issuer.clients.addSecret(tx, by, own.id, { hash, expiresAt }));
    expect([await attempt({}, basic(own)), await attempt({}, basic({ ...own, secret: second }))]).toEqual([undefined, undefined]);
    await people.pass(1_000);
    expect(await attempt({}, basic({ ...own, secret: second }))).toBe('client_unauthenticated');
    const [first] = (await issuer.clients.find(by.organization, own.id))?.secrets ?? [];
    await issuer.clients.endSecret(by, own.id, first?.id ?? '');
    expect(await attempt({}, basic(own))).toBe('client_unauthenticated');
  });
});

describe('a client assertion', () => {
  let client: Registered;
  let sign: (claims?: Record<string, unknown>, header?: Record<string, unknown>) => Promise<string>;
  beforeAll(async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    client = await issuance.add({ authentication: 'private_key_jwt', jwks: [{ ...(await exportJWK(publicKey)), kid: 'one' }] });
    sign = (claims = {}, header = {}) => {
      const now = Math.floor(issuance.people.clock.now() / 1000);
      const own = { iss: client.id, sub: client.id, aud: issuance.at.issuer, jti: randomUUID(), iat: now, exp: now + 60 };
      return new SignJWT({ ...own, ...claims }).setProtectedHeader({ alg: 'ES256', kid: 'one', ...header }).sign(privateKey);
    };
  });
  const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  const present = (assertion: string) => attempt({ client_assertion: assertion, client_assertion_type: type });

  it('proves the client, once, however many come at once', async () => {
    const assertion = await sign();
    const tries = await Promise.all(Array.from({ length: 20 }, () => present(assertion)));
    expect(tries.filter((fault) => fault === undefined).length).toBe(1);
    expect(await present(assertion)).toBe('client_unauthenticated');
  });

  it.each([
    ['for another audience', { aud: 'https://gatehouse.example/token' }],
    ['for several', { aud: ['https://gatehouse.example', 'https://other.example'] }],
    ['from another issuer', { iss: 'clt_other' }],
    ['without an end', { exp: undefined }],
    ['that ended', { exp: 1 }],
    ['that lives too long', { exp: 9_999_999_999 }],
    ['without a name of its own', { jti: undefined }],
    ['from the future', { iat: 9_999_999_000 }],
  ])('%s is refused', async (_, claims) => {
    expect(await present(await sign(claims))).toBe('client_unauthenticated');
  });

  it('may say by its typ that it is one, and is refused where it says that it is something else', async () => {
    for (const typ of ['client-authentication+jwt', 'application/client-authentication+jwt', 'JWT'])
      expect(await present(await sign({}, { typ })), typ).toBeUndefined();
    for (const typ of ['at+jwt', 'dpop+jwt', 'oauth-authz-req+jwt', 'logout+jwt', ''])
      expect(await present(await sign({}, { typ })), typ).toBe('client_unauthenticated');
  });

  it('of another key, another type, or beside a secret is refused', async () => {
    const other = await generateKeyPair('ES256');
    const claims = {
      iss: client.id,
      sub: client.id,
      aud: issuance.at.issuer,
      jti: 'x',
      exp: Math.floor(issuance.people.clock.now() / 1000) + 60,
    };
    expect(await present(await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(other.privateKey))).toBe(
      'client_unauthenticated',
    );
    const text = await sign();
    expect(await present('nonsense')).toBe('client_unauthenticated');
    expect(await attempt({ client_assertion: text })).toBe('invalid_request');
    expect(await attempt({ client_assertion: text, client_assertion_type: 'saml' })).toBe('invalid_request');
    expect(await attempt({ client_assertion: text, client_assertion_type: type, client_id: client.id, client_secret: 'x' })).toBe(
      'invalid_request',
    );
  });
});

describe('a public client', () => {
  it('names itself, redeems codes with its verifier, and may not introspect', async () => {
    const client = await issuance.add({ authentication: 'none', grantTypes: ['authorization_code', 'refresh_token'] });
    const { code, verifier } = await issuance.code(client);
    const parameters = formOf({ grant_type: 'authorization_code', client_id: client.id, code, code_verifier: verifier });
    const { accessToken, refreshToken } = await issuance.issuer.token(issuance.at, { parameters, authorization: undefined });
    expect(refreshToken).toBeDefined();
    const asking = { parameters: formOf({ client_id: client.id, token: accessToken.reveal() }), authorization: undefined };
    expect(await faultOf(issuance.issuer.introspect(issuance.at, asking))).toBe('client_unauthenticated');
    await issuance.issuer.revoke(issuance.at, asking);
    expect(await faultOf(issuance.issuer.userinfo(issuance.at, bearer(accessToken.reveal())))).toBe('access_token_invalid');
  });
});
