import { beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#kernel';
import { endingName, parent } from '#oauth';
import { api, basic, type Issuance, openIssuance } from '../support/issuing.ts';
import { createTestUser } from '../support/people.ts';
import { openServing, type Serving } from '../support/serving.ts';

interface Told {
  readonly epoch: number;
  readonly whole: boolean;
  readonly more: boolean;
  readonly cursor: string;
  readonly ended: readonly (readonly [string, number])[];
  readonly keys: readonly string[];
  readonly held: number;
  readonly age: number;
}

let serving: Serving;
let issuance: Issuance;
beforeAll(async () => {
  serving = await openServing();
  issuance = await openIssuance(serving.people, serving.issuer);
});

async function told(query = ''): Promise<Told> {
  const answer = await serving.send({ path: `/endings${query}` });
  expect([answer.status, answer.headers['cache-control']]).toEqual([200, 'no-store']);
  return answer.json() as unknown as Told;
}
const names = ({ ended }: Told) => ended.map(([name]) => name);

describe('what verifiers elsewhere are told of what ended', () => {
  it('is where the metadata says', async () => {
    const document = (await serving.send({ path: '/.well-known/openid-configuration' })).json();
    expect(document.token_endings_uri).toBe(`${String(document.issuer)}/endings`);
  });

  it('names grants, tokens, clients and people by digests alone, each until the last token below it has expired', async () => {
    const before = await told();
    expect(before).toMatchObject({ whole: true, more: false, ended: [] });
    const { people, issuer } = issuance;
    const client = await issuance.add();
    await issuance.tokens(client, { scope: 'things:read', resource: api });
    const [grant] = await issuer.grants(issuance.at.organization.id, issuance.session.user.id);
    await issuer.endGrant(issuance.by, grant?.id ?? newId('grt'));
    const own = (await issuance.token(client, { grant_type: 'client_credentials', resource: api })).accessToken.reveal();
    const { jti } = JSON.parse(Buffer.from(own.split('.')[1] ?? '', 'base64url').toString()) as { readonly jti: string };
    await issuer.revoke(issuance.at, { parameters: `token=${own}`, authorization: basic(client) });
    await issuer.clients.remove(issuance.by, client.id);
    const bob = await createTestUser(people, 'bob@example.com');
    await people.identity.suspendUser(issuance.by, bob.id);
    const after = await told(`?after=${before.cursor}`);
    expect(after.whole).toBe(false);
    const expected = [parent.grant(grant?.id ?? ''), parent.token(jti), parent.client(client.id), parent.user(bob.id, bob.epoch)];
    expect(names(after)).toEqual(expected.map(endingName));
    const now = people.clock.now() / 1000;
    for (const [, until] of after.ended) expect(until).toBeGreaterThanOrEqual(now + 900);
    expect(names(await told())).toEqual(names(after));
    expect((await told(`?after=${after.cursor}`)).ended).toEqual([]);
    expect(JSON.stringify(after)).not.toContain(bob.id);
  });

  it('comes at once to who waits for it, and says how long it waited', async () => {
    const { cursor } = await told();
    const waiting = told(`?after=${cursor}&wait=1000`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const client = await issuance.add();
    await issuance.issuer.clients.remove(issuance.by, client.id);
    for (let next = await waiting; ; next = await told(`?after=${next.cursor}&wait=1000`)) {
      if (next.ended.length === 0) continue;
      expect(names(next)).toEqual([endingName(client.id)]);
      expect(next.held).toBeLessThan(1_000);
      break;
    }
  });

  it('says after a second at most that there was nothing', async () => {
    const { cursor } = await told();
    const began = performance.now();
    const answer = await told(`?after=${cursor}&wait=60000`);
    expect(answer.ended).toEqual([]);
    expect(answer.held).toBeGreaterThanOrEqual(900);
    expect(performance.now() - began).toBeGreaterThanOrEqual(answer.held);
  });

  it('is told anew, whole, to who stands in another epoch of the organization', async () => {
    const { epoch, cursor } = await told();
    const [, row] = cursor.split('.');
    expect(await told(`?after=${epoch + 1}.${row}`)).toMatchObject({ whole: true, ended: [{}, {}, {}, {}, {}] });
  });

  it('lists the keys whose signatures count', async () => {
    const kids = ((await serving.send({ path: '/jwks.json' })).json().keys as { kid: string }[]).map(({ kid }) => kid);
    expect((await told()).keys).toEqual(kids);
  });

  it.each(['?after=x', '?after=1.-1', '?wait=soon'])('refuses %s', async (query) => {
    const answer = await serving.send({ path: `/endings${query}` });
    expect([answer.status, answer.json().error]).toEqual([400, 'invalid_request']);
  });

  it('is refused where it cannot be known what ended', async () => {
    serving.people.clock.advance(3_001);
    expect((await serving.send({ path: '/endings' })).status).toBe(503);
    await serving.people.store.migrate();
    expect((await serving.send({ path: '/endings' })).status).toBe(200);
  });
});
