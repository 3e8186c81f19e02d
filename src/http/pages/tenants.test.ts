import { beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '#kernel';
import { giveClient, localDefinition, startScriptedProvider } from '../../../test/support/connecting.ts';
import { openServing, post, type Serving, type SignedIn, signedIn } from '../../../test/support/serving.ts';

describe('connecting a provider that has a host for each customer', () => {
  let serving: Serving;
  let person: SignedIn;
  beforeAll(async () => {
    const provider = await startScriptedProvider();
    serving = await openServing({ ports: [provider.port] });
    person = await signedIn(serving);
    const { principal } = person.session;
    const definition = localDefinition(provider.origin, { hosts: [{ host: '*.local.test', tenant: true }] });
    await serving.people.store.records
      .in(principal.organization)
      .write((tx) => serving.connect.registerProvider(tx, principal, definition));
    await giveClient({ ...serving, by: principal }, 'local', { id: 'our-client', secret: new Secret('our-secret') });
  });
  const open = (path: string) => serving.send({ path, headers: { cookie: person.cookie } });
  const begin = (flow: 'api_key' | 'pkce' | 'client_credentials', name: string, provider = 'local') =>
    serving.connect.begin(person.session.principal, { provider, name, flow, force: false, allow: [] });
  const hostsOf = async (name: string) => {
    const { items } = await serving.connect.connections(
      person.user.organization,
      await serving.people.identity.vaultsOf(person.session.principal),
      {
        provider: 'local',
        limit: 50,
      },
    );
    return items.find((one) => one.name === name)?.hosts;
  };

  it('asks for it with the key, in the open, and says what is wrong with it', async () => {
    const flow = await begin('api_key', 'key');
    const shown = await open(`/connect/${flow.id}`);
    expect(shown.text).toMatch(/<label for="field_host">Your host name<\/label>\s*<input id="field_host" name="field_host" type="text"/);
    expect(shown.text).toContain('acme.local.test');
    const send = (field_host: string) => post(serving, person, `/connect/${flow.id}/key`, { field_api_key: 'key-abcdef', field_host });
    for (const host of ['', 'a.evil.test', 'local.test', 'https://acme.local.test', '"><script>alert(1)</script>']) {
      const wrong = await send(host);
      expect(wrong.status, host).toBe(400);
      expect(wrong.text).toContain('id="field_host-error"');
      expect(wrong.text).not.toContain('<script>');
    }
    expect((await send('acme.local.test')).headers.location).toBe(`/connect/${flow.id}/allow`);
    expect(await hostsOf('key')).toEqual(['acme.local.test']);
  });

  it('asks for it before it sends the browser to the provider', async () => {
    const flow = await begin('pkce', 'code');
    expect((await open(`/connect/${flow.id}`)).text).toContain('name="field_host"');
    const wrong = await post(serving, person, `/connect/${flow.id}/go`, { field_host: 'a.evil.test' });
    expect([wrong.status, wrong.headers.location]).toEqual([400, undefined]);
    expect(wrong.text).toContain('id="field_host-error"');
    expect((await post(serving, person, `/connect/${flow.id}/go`)).status).toBe(400);
    const left = await post(serving, person, `/connect/${flow.id}/go`, { field_host: 'acme.local.test' });
    expect(left.status).toBe(200);
    const state = /state=([\w-]+)/.exec(left.text)?.[1] ?? '';
    expect((await open(`/connect/callback?code=c&state=${state}`)).headers.location).toBe(`/connect/${flow.id}/allow`);
    expect(await hostsOf('code')).toEqual(['acme.local.test']);
  });

  it('asks for it before it signs in as the client itself', async () => {
    const flow = await begin('client_credentials', 'machine');
    expect((await open(`/connect/${flow.id}`)).text).toContain('name="field_host"');
    expect((await post(serving, person, `/connect/${flow.id}/key`)).status).toBe(400);
    expect((await post(serving, person, `/connect/${flow.id}/key`, { field_host: 'acme.local.test' })).status).toBe(303);
    expect(await hostsOf('machine')).toEqual(['acme.local.test']);
  });

  it('asks nobody else', async () => {
    const flow = await begin('api_key', 'default', 'openai');
    expect((await open(`/connect/${flow.id}`)).text).not.toContain('field_host');
  });
});
