import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..');

/** What has gone wrong at identity servers, by class → the tests that try it here, by file and by (the start of) their name. */
const classes: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'redirect match': { 'test/security/issuer-abuse.test.ts': ['that is not the registered one leads to a page of ours and nowhere else'] },
  'trust on first use': { 'test/security/issuer-abuse.test.ts': ['is never trusted on first use'] },
  'dangerous schemes': { 'test/security/issuer-abuse.test.ts': ['cannot be registered as %s', 'leads nowhere at use'] },
  'reflected markup': { 'test/security/issuer-abuse.test.ts': ['stands on no page as markup', 'stands on the page that asks'] },
  'PKCE downgrade': { 'test/security/issuer-abuse.test.ts': ['is not got around: without a challenge'] },
  'mix-up': {
    'test/protocol/authorize.test.ts': ['is query without the parameter, and with it, and every answer names the issuer'],
    'test/security/upstreams.test.ts': ['never get the code of another', 'is refused where it is missing, doubled or unknown'],
  },
  'login CSRF': { 'test/security/issuer-abuse.test.ts': ['does nothing at %s, with the cookies of the person'] },
  'session fixation': { 'test/security/outside.test.ts': ['never keeps a session that somebody planted'] },
  clickjacking: { 'test/security/issuer-abuse.test.ts': ['cannot be framed by anybody: %s', 'that asks a person whether a client may'] },
  'refresh race': {
    'test/security/double-spend.test.ts': ['exactly one gets something for one'],
    'src/issuer/token.test.ts': ['gives the stored answer for 30 seconds, then ends the family'],
  },
  'refresh after an end': { 'test/security/issuer-abuse.test.ts': ['that was revoked is refused by another server'] },
  'client authentication on refresh': { 'test/security/issuer-abuse.test.ts': ['of a client that proves who it is goes nowhere without'] },
  'scope and audience escalation': {
    'test/security/issuer-abuse.test.ts': ['and a client for itself get no scope and no resource beyond'],
    'test/protocol/device.test.ts': ['gives no more than the client may have', 'gives no resource that was not granted'],
    'test/protocol/exchange.test.ts': ['refuses to widen again what the same client has narrowed'],
  },
  'exchange for more': {
    'test/protocol/exchange.test.ts': [
      'refuses a scope that the subject token has not',
      'of a person who was locked out',
      'an actor token',
    ],
  },
  'JWT confusion': {
    'test/security/issuer-abuse.test.ts': ['that was made up or changed in any way is no token'],
    'test/protocol/verify.test.ts': ['is refused without signature, with one of HMAC by the public key'],
  },
  'introspection and revocation by others': { 'test/security/issuer-abuse.test.ts': ['of one client is nothing to another'] },
  'client assertion': {
    'src/issuer/client-authentication.test.ts': ['proves the client, once, however many come at once', 'of another key, another type'],
    'test/protocol/jwt-bearer.test.ts': ['for the token endpoint instead of the issuer', 'with an end that is far away'],
  },
  DPoP: {
    'test/protocol/dpop.test.ts': [
      'is taken once',
      'refuses a proof %s',
      'refuses a proof that holds a private key',
      'is refused as a bearer token, with and without proof',
      'is not one that somebody made up',
    ],
  },
  'device code': {
    'test/protocol/device.test.ts': [
      'takes no answer from a browser in which the code was not typed',
      'lets one person guess five times',
      'answers slow_down to who polls too early',
      'takes one answer, the first, also where two people typed the code',
      'burns a code that was looked at ten times',
    ],
  },
  'side doors of a locked account': {
    'test/security/issuer-abuse.test.ts': ['is had by no grant type that its client is not registered for'],
    'test/protocol/device.test.ts': ['gives nothing for a person who was locked out meanwhile'],
    'test/protocol/ciba.test.ts': ['gives nothing for a person who was locked out after the yes'],
    'src/issuer/token.test.ts': ['ends with its person, and so does the answer that is given again'],
  },
  'registration abuse': {
    'test/protocol/registration.test.ts': [
      'is given code and refresh only',
      'gives itself no scope and no resource by naming it',
      'not more than 20 an hour from one address',
      'not more than the organization has room for',
      'is forgotten after a week without use',
    ],
  },
  'management of another registration': {
    'test/protocol/registration.test.ts': ['is read with its registration access token, and with no other', 'is replaced whole'],
  },
  'requests to inner addresses': {
    'test/protocol/client-documents.test.ts': ['at an address of special use is not fetched'],
    'test/protocol/logout.test.ts': ['reaches nobody through the address guard'],
    'test/protocol/jar.test.ts': ['by a reference of its own is refused, and not fetched'],
    'src/net/guard.test.ts': ['a private address is refused until the operator opens it'],
  },
  'limits of what is fetched': {
    'src/net/fetch.test.ts': ['an endless body is stopped at the limit', 'a slow drip ends with the deadline', 'a gzip bomb is stopped'],
    'test/protocol/client-documents.test.ts': ['%s is refused on a page of ours, never by a redirect'],
  },
  'other origins': { 'test/protocol/cross-origin.test.ts': ['and never by the credentials of the browser', 'is let into nothing else'] },
  'linking by an unverified address': {
    'test/security/upstreams.test.ts': ['fails with an address that the upstream did not verify', 'is not done to a person by an answer'],
  },
  'forged host': {
    'test/security/issuer-abuse.test.ts': ['changes nothing that %s says'],
    'src/http/http.test.ts': ['builds links from its settings, whatever a request claims'],
  },
  'forged client address': { 'src/http/http.test.ts': ['believes forwarded addresses only from the proxies that were named'] },
  'telling who has an account': {
    'src/signin/signin.test.ts': [
      'gives one answer to a wrong password, an unknown address',
      'takes as long for an unknown address as for a known one',
    ],
    'test/security/upstreams.test.ts': ['looks the same whether or not there is somebody with that address'],
  },
  'long inputs': {
    'test/security/issuer-abuse.test.ts': ['is refused quickly: a password of a megabyte'],
    'test/security/authorization-requests.test.ts': ['what is long is refused quickly'],
  },
  invitation: { 'src/http/sessions.test.ts': ['takes an invitation once, of fifty at once'] },
  'end of a session': {
    'src/signin/signin.test.ts': ['ended is refused by the next request here, and by another process within a second'],
    'src/http/sessions.test.ts': ['is proven first, and ends every other session of theirs'],
    'test/protocol/logout.test.ts': ['a refresh token without offline_access, and its access token'],
  },
  'another tenant’s provider': { 'test/security/upstreams.test.ts': ['name people apart: the same subject at two upstreams'] },
  'set-up once more': {
    'src/signin/signin.test.ts': ['stays closed after a restart, and when every administrator is gone'],
    'test/security/outside.test.ts': ['twenty at once make one, and it stays so after a kill'],
  },
  'doors for debugging': { 'test/security/dumps.test.ts': ['tells nothing in its health'] },
};

test.each(Object.entries(classes))('%s is tried by tests that are there', (_, tests) => {
  for (const [file, names] of Object.entries(tests)) {
    const text = readFileSync(join(root, file), 'utf8');
    expect(
      names.filter((name) => !text.includes(name)),
      file,
    ).toEqual([]);
  }
});
