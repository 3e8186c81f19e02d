import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import type { User } from '#identity';
import { registerClient, tokensOf } from '../../test/support/logging-out.ts';
import { createTestUser, testIssuer, testPassword } from '../../test/support/people.ts';
import { openServing, post, type Received, type Serving, type SignedIn, signedIn } from '../../test/support/serving.ts';

let serving: Serving;
let person: SignedIn;
beforeEach(async () => {
  serving = await openServing();
  person = await signedIn(serving);
});

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const ask = (path: string, who: { readonly cookie: string } = person, method = 'GET') =>
  serving.send({ method, path, headers: { cookie: who.cookie, origin: testIssuer, 'sec-fetch-site': 'same-origin' } });
const send = (path: string, body: object, local = true) =>
  serving.send({ method: 'POST', path, local, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

async function signIn(user: User): Promise<SignedIn> {
  const { signin, vault } = serving.people;
  const started = await signin.signIn(user.organization, user.email, testPassword, '192.0.2.1', undefined, 'Firefox on Linux');
  const { session, bearer } = started;
  const token = vault.mac('http form', `session ${session.id}`);
  return { user, session, token, cookie: `__Host-gatehouse_session=${bearer.reveal()}` };
}

describe('sessions', () => {
  it('are listed to their person, by search and by page; those of everybody to administrators alone', async () => {
    const bob = await signIn(await createTestUser(serving.people, 'bob@example.com'));
    const own = (await ask('/v1/sessions', bob)).json().items as { user: string; label: string }[];
    expect(own.map(({ user, label }) => [user, label])).toEqual([['bob@example.com', 'Firefox on Linux']]);
    expect((await ask('/v1/sessions?of=everybody', bob)).status).toBe(403);
    const found = async (query: string) => (await ask(`/v1/sessions?of=everybody${query}`)).json();
    expect(((await found('')).items as object[]).length).toBe(2);
    expect(((await found('&text=BOB%40')).items as object[]).length).toBe(1);
    const first = await found('&limit=1');
    const second = await found(`&limit=1&cursor=${String(first.next)}`);
    expect((second.items as { id: string }[])[0]?.id).toBe(person.session.id);
    expect(second.next).toBeUndefined();
  });

  it('say what would end with them, and end by their person or an administrator and nobody else', async () => {
    const bob = await signIn(await createTestUser(serving.people, 'bob@example.com'));
    const carol = await signIn(await createTestUser(serving.people, 'carol@example.com'));
    const logout = { redirectUris: [], backchannelUri: 'https://app.example/told' };
    await tokensOf(serving, bob, await registerClient(serving, person, { logout }));
    const path = `/v1/sessions/${bob.session.id}`;
    expect((await ask(path)).json()).toMatchObject({ user: 'bob@example.com', ends: { grants: 1, clients: ['The App'] } });
    expect([(await ask(path, carol)).status, (await ask(path, carol, 'DELETE')).status]).toEqual([404, 404]);
    expect((await ask('/v1/whoami', bob)).status).toBe(200);
    expect((await ask(path, person, 'DELETE')).status).toBe(200);
    expect((await ask('/v1/whoami', bob)).status).toBe(401);
    const ended = serving.people.audit.drafts.filter(({ name }) => name === 'session.ended');
    expect(ended.at(-1)).toMatchObject({
      principal: { subject: { kind: 'user', id: person.user.id } },
      fields: { session: bob.session.id, reason: 'ended_by_administrator' },
    });
  });

  it('are found by their id alone, whatever others are called', async () => {
    const bob = await signIn(await createTestUser(serving.people, 'bob@example.com'));
    const { signin } = serving.people;
    const decoy = await signin.signIn(bob.user.organization, bob.user.email, testPassword, '192.0.2.1', undefined, bob.session.id);
    expect((await ask(`/v1/sessions/${bob.session.id}`)).json()).toMatchObject({ id: bob.session.id });
    expect((await ask(`/v1/sessions/${bob.session.id}`, person, 'DELETE')).status).toBe(200);
    expect((await signin.sessions(bob.user)).map(({ id }) => id)).toEqual([decoy.session.id]);
  });

  it('of a process that saw one last do not bring back the row that was deleted', async () => {
    const { signin, store } = serving.people;
    await store.records.in(person.user.organization).write((tx) => tx.db.deleteFrom('sessions').execute());
    await serving.people.pass(120_000);
    await ask('/v1/whoami').catch(() => undefined);
    const rows = await store.records.in(person.user.organization).read((tx) => tx.db.selectFrom('sessions').select('id').execute());
    expect(rows).toEqual([]);
    expect(await signin.sessions(person.user)).toEqual([]);
  });
});

describe('the page of a person', () => {
  it('shows their sessions and applications, and ends each; never those of another', async () => {
    const client = await registerClient(serving, person, { name: 'Calendar' });
    await tokensOf(serving, person, client);
    const phone = await signIn(person.user);
    const page = await ask('/account');
    for (const words of ['Calendar', 'Firefox on Linux', 'this one', 'Sign out everywhere else', 'href="/account/sign-in"'])
      expect(page.text).toContain(words);
    const bob = await signIn(await createTestUser(serving.people, 'bob@example.com'));
    expect((await post(serving, bob, `/account/sessions/${phone.session.id}/end`)).status).toBe(404);
    const grant = /\/account\/grants\/(grt_\w+)\/end/.exec(page.text)?.[1];
    expect((await post(serving, bob, `/account/grants/${grant}/end`)).status).toBe(404);
    expect((await post(serving, person, `/account/grants/${grant}/end`)).status).toBe(303);
    expect((await post(serving, person, '/account/sessions/end-others')).status).toBe(303);
    expect([(await ask('/v1/whoami', phone)).status, (await ask('/v1/whoami')).status]).toEqual([401, 200]);
    expect((await ask('/account')).text).toContain('No application may act for you');
  });
});

describe('a password that its person changes', () => {
  it('is proven first, and ends every other session of theirs', async () => {
    const phone = await signIn(person.user);
    const change = (password: string, next: string) => post(serving, person, '/account/password', { password, new_password: next });
    expect((await change('not the one', 'a long enough sentence')).status).toBe(401);
    expect((await change(testPassword.reveal(), 'short')).text).toContain('id="new_password-error"');
    expect((await ask('/v1/whoami', phone)).status).toBe(200);
    expect((await change(testPassword.reveal(), 'a long enough sentence')).status).toBe(200);
    expect([(await ask('/v1/whoami', phone)).status, (await ask('/v1/whoami')).status]).toEqual([401, 200]);
    await expect(signIn(person.user)).rejects.toMatchObject({ code: 'invalid_credentials' });
  });
});

describe('times of last use', () => {
  const seenAt = async () => {
    const { id } = person.session;
    const rows = await serving.people.store.records
      .in(person.user.organization)
      .read((tx) => tx.db.selectFrom('sessions').select('last_seen_at').where('id', '=', id).execute());
    return rows[0]?.last_seen_at ?? 0;
  };

  it('only move forward, also where the clock of another server is ahead, and are written at most once a minute', async () => {
    const { signin, clock, store } = serving.people;
    const began = await seenAt();
    await serving.people.pass(30_000);
    await ask('/v1/whoami');
    expect(await seenAt()).toBe(began);
    await serving.people.pass(31_000);
    await ask('/v1/whoami');
    expect(await seenAt()).toBe(clock.now());
    const ahead = clock.now() + 30_000;
    await store.records.in(person.user.organization).write((tx) => tx.db.updateTable('sessions').set({ last_seen_at: ahead }).execute());
    await signin.reauthenticate(person.session, testPassword, '::1');
    expect(await seenAt()).toBe(ahead);
    await serving.people.pass(61_000);
    await ask('/v1/whoami');
    expect(await seenAt()).toBe(ahead);
  });
});

describe('an organization', () => {
  const link = 'the link of the owner';
  const acme = { slug: 'acme', name: 'Acme', owner: 'eve@acme.example', token_sha256: sha256(link) };

  const joining = async (path: string, token: string, fields: Readonly<Record<string, string>>): Promise<Received> => {
    const page = await serving.send({ path: `${path}?token=${encodeURIComponent(token)}` });
    const cookie = String(page.headers['set-cookie']).split(';', 1)[0] ?? '';
    const form = /name="form_token" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
    return post(serving, { cookie, token: form }, path, { token, ...fields });
  };

  it('is made on the machine of the server alone, once for a slug, and its first owner makes their account with the link', async () => {
    expect((await ask('/v1/organizations', person, 'POST')).status).toBe(403);
    const made = await send('/v1/organizations', acme);
    expect([made.status, made.json().issuer]).toEqual([201, `${testIssuer}/o/acme`]);
    for (const slug of ['acme', 'default']) expect((await send('/v1/organizations', { ...acme, slug })).status).toBe(409);
    for (const slug of ['-x', 'a.b', 'Acme', 'a/b']) expect((await send('/v1/organizations', { ...acme, slug })).status).toBe(400);
    const listed = (await ask('/v1/organizations?text=acm')).json().items as { slug: string }[];
    expect(listed.map(({ slug }) => slug)).toEqual(['acme']);
    expect((await joining('/join', link, { name: 'Eve', password: 'a long enough sentence' })).status).toBe(403);
    const weak = await joining('/o/acme/join', link, { name: 'Eve', password: 'short' });
    expect([weak.status, weak.text.includes('id="password-error"')]).toEqual([400, true]);
    const joined = await joining('/o/acme/join', link, { name: 'Eve', password: 'a long enough sentence' });
    expect([joined.status, joined.headers.location]).toEqual([303, '/o/acme/']);
    const cookie = String(joined.headers['set-cookie']).split(';', 1)[0] ?? '';
    expect((await ask('/o/acme/v1/whoami', { cookie })).json()).toMatchObject({ user: { email: 'eve@acme.example', role: 'owner' } });
    expect((await ask('/o/acme/account', { cookie })).text).toContain('eve@acme.example, at Acme');
    expect((await serving.send({ path: `/o/acme/join?token=${encodeURIComponent(link)}` })).status).toBe(410);
  });

  it('takes an invitation once, of fifty at once', async () => {
    await send('/v1/organizations', acme);
    const { signin, identity } = serving.people;
    const { id } = await identity.organizationBySlug('acme');
    const joining = { token: link, name: 'Eve', password: testPassword, address: '::1', label: '' };
    const tries = await Promise.allSettled(Array.from({ length: 50 }, () => signin.join(id, joining)));
    expect(tries.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    expect((await identity.users(id, { limit: 10 })).items.length).toBe(1);
  });

  it('invites more people by a change that is confirmed, and withdraws an invitation', async () => {
    const body = { email: 'bob@example.com', role: 'member', token_sha256: sha256('for bob') };
    const parked = (await send('/v1/invitations', body)).json();
    const page = await ask(`/confirm/${String(parked.id)}`);
    expect(page.text).toContain('Invite bob@example.com?');
    expect((await ask('/v1/invitations')).json().items).toEqual([]);
    await post(serving, person, `/confirm/${String(parked.id)}`, { answer: 'yes' });
    const [open] = (await ask('/v1/invitations')).json().items as { id: string; email: string }[];
    expect(open?.email).toBe('bob@example.com');
    const preview = await ask(`/v1/invitations/${open?.id}?preview=true`, person, 'DELETE');
    expect([preview.status, preview.json().email]).toEqual([200, 'bob@example.com']);
    expect((await serving.send({ path: '/join?token=for%20bob' })).status).toBe(200);
    expect((await ask(`/v1/invitations/${open?.id}`, person, 'DELETE')).status).toBe(200);
    expect((await serving.send({ path: '/join?token=for%20bob' })).status).toBe(410);
  });

  it('has another owner by the word of an owner alone, also where an owner asked for it', async () => {
    const admin = await signIn(await createTestUser(serving.people, 'adam@example.com', 'administrator'));
    const invited = { email: 'bob@example.com', role: 'owner', token_sha256: sha256('for bob') };
    const parked = (await send('/v1/invitations', invited)).json();
    const path = `/confirm/${String(parked.id)}`;
    expect([(await ask(path, admin)).status, (await post(serving, admin, path, { answer: 'yes' })).status]).toEqual([404, 404]);
    expect((await ask('/v1/invitations')).json().items).toEqual([]);
    expect((await post(serving, person, path, { answer: 'yes' })).status).toBe(303);
  });

  it('keeps its issuer below the public URL when that changes', async () => {
    await send('/v1/organizations', acme);
    const { identity } = serving.people;
    await identity.ensureDefaultOrganization('https://moved.example/below');
    expect((await identity.organizationBySlug('acme')).issuer).toBe('https://moved.example/below/o/acme');
  });
});
