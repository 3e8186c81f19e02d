import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { GrantTypeName } from '#api';
import type { Registered } from '../support/issuing.ts';
import { count } from '../support/need.ts';
import { asClient, register } from '../support/relying.ts';
import { openServing, post, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const names = { bearer: 'jwt-bearer', device: 'device_code', exchange: 'token-exchange' } as const;
const grant = <N extends keyof typeof names>(name: N) => `urn:ietf:params:oauth:grant-type:${names[name]}` as const;
const cibaGrant = 'urn:openid:params:grant-type:ciba';
const grantTypes: readonly GrantTypeName[] = [grant('bearer'), grant('device'), grant('exchange'), cibaGrant];

let serving: Serving;
let person: SignedIn;
let app: Registered;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  app = await register(serving, person.session.principal, { redirectUris: [], grantTypes });
});

const segment = fc.oneof(
  fc.base64String(),
  fc.json().map((text) => Buffer.from(text).toString('base64url')),
  fc.string(),
);
const token = fc.oneof(
  fc.string(),
  fc.array(segment, { maxLength: 5 }).map((parts) => parts.join('.')),
);
const types = fc.constantFrom('', 'urn:ietf:params:oauth:token-type:access_token', 'x');

/** What anybody may send, endpoint by endpoint: the path, and parameters of which each may be anything. */
const requests = fc.oneof(
  fc.record({ grant_type: fc.constant(grant('bearer')), assertion: token, scope: fc.string() }),
  fc.record({ grant_type: fc.constant(grant('device')), device_code: token }),
  fc.record({ grant_type: fc.constant(cibaGrant), auth_req_id: token }),
  fc.record({ grant_type: fc.constant(grant('exchange')), subject_token: token, subject_token_type: types, audience: fc.string() }),
);
const questions = fc.record(
  { scope: fc.string(), login_hint: fc.string(), id_token_hint: token, binding_message: fc.string(), requested_expiry: fc.string() },
  { requiredKeys: [] },
);

describe('whatever is sent', () => {
  it('to the token endpoint, it is refused with a reason, and never breaks', async () => {
    const property = fc.asyncProperty(requests, async (parameters) => {
      const { status, text } = await asClient(serving, app, '/token', parameters);
      expect([400, 401]).toContain(status);
      expect(JSON.parse(text)).toMatchObject({ error: expect.stringMatching(/^[a-z_]+$/) });
    });
    await fc.assert(property, { numRuns: count(150, 5_000) });
  });

  it('as a question to a person, it is refused or asked, and never breaks', async () => {
    const property = fc.asyncProperty(questions, async (parameters) => {
      expect((await asClient(serving, app, '/backchannel-authentication', parameters)).status).toBeLessThan(500);
    });
    await fc.assert(property, { numRuns: count(100, 3_000) });
  });

  it('as the code of a device, it is never shown as anything but text', async () => {
    const property = fc.asyncProperty(fc.string({ maxLength: 200 }), async (code) => {
      const page = await post(serving, person, '/device', { code });
      expect(page.status).toBeLessThan(500);
      const linked = await serving.send({
        path: `/device?user_code=${encodeURIComponent(`"><script>${code}`)}`,
        headers: { cookie: person.cookie },
      });
      expect(linked.text).not.toContain('<script>');
    });
    await fc.assert(property, { numRuns: count(50, 1_000) });
  });
});
