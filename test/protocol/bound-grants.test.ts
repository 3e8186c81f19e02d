import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { beforeAll, describe, expect, it } from 'vitest';
import type { GrantTypeName } from '#api';
import type { Registered } from '../support/issuing.ts';
import { register, relyingParty } from '../support/relying.ts';
import { openServing, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const cibaGrant = 'urn:openid:params:grant-type:ciba';
const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';
const grantTypes: readonly GrantTypeName[] = [deviceGrant, cibaGrant, exchangeGrant, 'client_credentials'];

let serving: Serving;
let person: SignedIn;
let app: Registered;
let config: client.Configuration;
let options: client.DPoPOptions;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  app = await register(serving, person.session.principal, { redirectUris: [], grantTypes });
  config = await relyingParty(serving, app, () => serving.people.pass(5_000));
  options = { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair()) };
});

const keyOf = (token: string) => (decodeJwt(token).cnf as { readonly jkt?: string } | undefined)?.jkt;

describe('DPoP (RFC 9449 §5), with openid-client', () => {
  it('binds what a device gets', async () => {
    const offered = await client.initiateDeviceAuthorization(config, { scope: 'openid' });
    const at = await serving.issuer.at(undefined);
    const { transaction } = await serving.issuer.devices.type(at, person.session, offered.user_code, '127.0.0.1');
    await serving.issuer.devices.answer(at, person.session, transaction, true);
    const tokens = await client.pollDeviceAuthorizationGrant(config, { ...offered, interval: 1 }, {}, options);
    expect(tokens.token_type).toBe('dpop');
    expect(keyOf(tokens.access_token)).toMatch(/^[\w-]{43}$/);
  });

  it('binds what a client gets of a person elsewhere', async () => {
    const begun = await client.initiateBackchannelAuthentication(config, { scope: 'openid', login_hint: person.user.id });
    const [waiting] = await serving.issuer.backchannel.waiting(person.session);
    await serving.issuer.backchannel.answer(await serving.issuer.at(undefined), person.session, waiting?.id ?? '', true);
    const tokens = await client.pollBackchannelAuthenticationGrant(config, { ...begun, interval: 1 }, {}, options);
    expect(tokens.token_type).toBe('dpop');
    expect(keyOf(tokens.access_token)).toMatch(/^[\w-]{43}$/);
  });

  it('lets a bound token be exchanged with its key alone, for one that is bound to it', async () => {
    const parent = await client.genericGrantRequest(config, 'client_credentials', { scope: 'things:read' }, options);
    const asked = { subject_token: parent.access_token, subject_token_type: accessTokenType };
    const child = await client.genericGrantRequest(config, exchangeGrant, asked, options);
    expect(keyOf(child.access_token)).toBe(keyOf(parent.access_token));
    await expect(client.genericGrantRequest(config, exchangeGrant, asked)).rejects.toMatchObject({ error: 'invalid_request' });
    const stranger = { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair()) };
    await expect(client.genericGrantRequest(config, exchangeGrant, asked, stranger)).rejects.toMatchObject({ error: 'invalid_request' });
  });
});
