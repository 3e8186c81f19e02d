import { beforeEach, describe, expect, it } from 'vitest';
import { createPkce } from '#oauth';
import { callback, formOf, type Registered } from '../../test/support/issuing.ts';
import { askToken, hiddenOf, registerClient } from '../../test/support/logging-out.ts';
import { openServing, type Received, type Serving, type SignedIn, signedIn } from '../../test/support/serving.ts';

let serving: Serving;
let person: SignedIn;
let client: Registered;
beforeEach(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  client = await registerClient(serving, person, {});
});

interface Asked {
  readonly page: Received;
  readonly cookie: string;
  readonly verifier: string;
}

/** Begins, and follows to the question, or back to the client. */
async function ask(scope: string, more: Readonly<Record<string, string>> = {}): Promise<Asked> {
  const { challenge, verifier } = createPkce();
  const query = { response_type: 'code', client_id: client.id, redirect_uri: callback, scope, ...more };
  const pkce = { code_challenge: challenge, code_challenge_method: 'S256' };
  const begun = await serving.send({ path: `/authorize?${formOf({ ...query, ...pkce })}`, headers: { cookie: person.cookie } });
  const binding = String(begun.headers['set-cookie']).split(';', 1)[0] ?? '';
  const cookie = `${person.cookie}; ${binding}`;
  const to = String(begun.headers.location);
  const page = to.startsWith('/') ? await serving.send({ path: to, headers: { cookie } }) : begun;
  return { page, cookie, verifier: verifier.reveal() };
}

function answer({ page, cookie }: Asked, ticked: readonly string[]) {
  const fields = new URLSearchParams({ ...hiddenOf(page), answer: 'yes' });
  for (const scope of ticked) fields.append('scope[]', scope);
  return serving.send({
    method: 'POST',
    path: '/authorize/answer',
    headers: { cookie, 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' },
    body: fields.toString(),
  });
}

async function scopeOf({ verifier }: Asked, back: Received): Promise<unknown> {
  const code = new URL(String(back.headers.location)).searchParams.get('code') ?? '';
  const tokens = await askToken(serving, client, {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: callback,
  });
  return (tokens as { readonly scope?: string }).scope;
}

describe('what a person leaves out', () => {
  it('is every scope but openid, ticked at first', async () => {
    const { page } = await ask('openid email things:read');
    const boxes = [...page.text.matchAll(/<input type="checkbox" name="scope\[\]" value="([^"]+)" checked>/g)].map(([, name]) => name);
    expect(boxes).toEqual(['email', 'things:read']);
  });

  it('is not in the tokens, and is remembered with what was kept', async () => {
    const first = await ask('openid email things:read');
    expect(await scopeOf(first, await answer(first, ['things:read', 'things:write']))).toBe('openid things:read');
    const second = await ask('openid email things:read');
    expect(String(second.page.headers.location)).toContain(callback);
    expect(await scopeOf(second, second.page)).toBe('openid things:read');
    expect((await ask('openid profile')).page.text).toContain('value="profile"');
  });

  it('can be had after all, when the client asks to be asked', async () => {
    const first = await ask('openid email');
    await answer(first, []);
    const again = await ask('openid email', { prompt: 'consent' });
    expect(await scopeOf(again, await answer(again, ['email']))).toBe('openid email');
    const quiet = await ask('openid email', { prompt: 'none' });
    expect(await scopeOf(quiet, quiet.page)).toBe('openid email');
  });

  it('is a no, where nothing is left', async () => {
    const asked = await ask('things:read');
    const back = await answer(asked, []);
    expect(new URL(String(back.headers.location)).searchParams.get('error')).toBe('access_denied');
  });
});
