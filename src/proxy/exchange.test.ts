import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '#kernel';
import { type TestAuthority, testAuthority } from '../../test/support/certificates.ts';
import { startUpstream, type Upstream } from '../../test/support/upstream.ts';
import { bearer, dataPlane, type Harness, tunnel } from './testing/harness.ts';

let authority: TestAuthority;
let api: Upstream;
let harness: Harness;
const secret = new Secret('sk-canary-0123456789abcdef');

beforeAll(async () => {
  authority = testAuthority('test');
  api = await startUpstream(authority.issue('api.test'));
  harness = await dataPlane([api.port], authority);
  harness.broker.decideWith = (call) => bearer(call, secret);
});
afterAll(async () => {
  await harness.close();
  await api.close();
});

describe('a call in an intercepted tunnel', () => {
  test('arrives with the credential, which does not come back', async () => {
    const { send, until } = await tunnel(harness, `api.test:${api.port}`);
    send(`GET /echo?a=b HTTP/1.1\r\nHost: api.test:${api.port}\r\nAUTHORIZATION: Bearer placeholder\r\nAccept: */*\r\n\r\n`);
    const answer = await until('"body"');
    expect(answer).toContain('HTTP/1.1 200 OK');
    expect(api.seen.at(-1)?.headers.authorization).toBe(`Bearer ${secret.reveal()}`);
    expect(answer).not.toContain(secret.reveal());
    expect(harness.broker.reports.at(-1)).toMatchObject({ status: 200, outcome: 'answered', scrubbed: 1 });
  });
});
