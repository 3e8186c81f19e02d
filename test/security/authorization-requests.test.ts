import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authorizing, openAuthorizing } from '../support/authorizing.ts';
import { formOf, type Registered } from '../support/issuing.ts';

let at: Authorizing;
let client: Registered;

beforeAll(async () => {
  at = await openAuthorizing();
  client = await at.add({ authorizationDetailsTypes: ['payment'] });
});

const names = [
  'request',
  'request_uri',
  'claims',
  'authorization_details',
  'id_token_hint',
  'acr_values',
  'login_hint',
  'ui_locales',
  'prompt',
  'max_age',
  'response_mode',
  'resource',
  'scope',
  'state',
  'nonce',
  'code_challenge',
  'redirect_uri',
];
const part = fc.string({ maxLength: 40 }).map((text) => Buffer.from(text).toString('base64url'));
const value = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.json({ maxDepth: 6 }),
  fc.tuple(part, part, part).map((parts) => parts.join('.')),
  fc.constantFrom(
    'urn:ietf:params:oauth:request_uri:x',
    '{"id_token":{"acr":{"essential":true,"values":[1]}}}',
    '[{"type":"payment"}]',
    '[[]]',
  ),
  fc.constant('['.repeat(5_000)),
);
const changes = fc.dictionary(fc.constantFrom(...names), fc.oneof(value, fc.array(value, { maxLength: 3 })), { maxKeys: 5 });

describe('whatever an authorization request holds', () => {
  test('the browser is answered by a page or a redirect, never by a failure of ours, and goes nowhere unregistered', async () => {
    const run = async (more: Readonly<Record<string, string | readonly string[]>>) => {
      const answer = await at.serving.send({ path: `/authorize?${formOf(at.asked(client, more))}`, headers: { cookie: at.person.cookie } });
      expect(answer.status).toBeLessThan(500);
      const to = answer.headers.location;
      if (to !== undefined) expect(String(to)).toMatch(/^(https:\/\/app\.example\/callback\?|\/)/);
    };
    await fc.assert(fc.asyncProperty(changes, run), { numRuns: 60 });
  });

  test('a push is answered by a reference or an OAuth error', async () => {
    const run = async (more: Readonly<Record<string, string | readonly string[]>>) => {
      const answer = await at.push(client, at.asked(client, more));
      expect([201, 400]).toContain(answer.status);
      expect(typeof (answer.json().error ?? answer.json().request_uri)).toBe('string');
    };
    await fc.assert(fc.asyncProperty(changes, run), { numRuns: 60 });
  });

  test('what is long is refused quickly', async () => {
    const started = performance.now();
    for (const name of ['claims', 'authorization_details', 'request', 'scope']) {
      expect((await at.push(client, at.asked(client, { [name]: '['.repeat(60_000) }))).status).toBe(400);
      expect((await at.push(client, at.asked(client, { [name]: '{"a":'.repeat(12_000) }))).status).toBe(400);
    }
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});
