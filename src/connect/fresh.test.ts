import { describe, expect, it } from 'vitest';
import { type FaultCode, isFault, Secret } from '#kernel';
import {
  type Connecting,
  connectByCode,
  connectOver,
  localDefinition,
  openConnecting,
  type Script,
  startScriptedProvider,
} from '../../test/support/connecting.ts';
import { openTestStore } from '../../test/support/store.ts';
import { openTestVault } from '../../test/support/vault.ts';
import { connectionById, updateConnection } from './connections.sql.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });

/** Tokens at-0, at-1, … that live an hour, each with a refresh token of the same number. */
const rotating: Script = (_, count) => ({ body: { access_token: `at-${count - 1}`, refresh_token: `rt-${count - 1}`, expires_in: 3600 } });

async function standing(script: Script = rotating, oauth: Readonly<Record<string, unknown>> = {}) {
  const provider = await startScriptedProvider(script);
  const connecting = await openConnecting([provider.port]);
  await connecting.register(localDefinition(provider.origin, {}, oauth));
  const { connection } = await connectByCode(connecting);
  const { connect, by, people } = connecting;
  const token = async (force = false) => {
    const current = await connect.connection(by.organization, connection.id);
    return (await connect.fresh(by, current ?? connection, { force })).parts.access_token?.reveal();
  };
  const status = async () => (await connect.connection(by.organization, connection.id))?.status;
  const refreshes = () => provider.tokenRequests().filter((one) => one.parameters.grant_type === 'refresh_token');
  return { ...connecting, connecting, provider, connection, token, status, refreshes, pass: people.pass };
}

async function rowOf({ people, by }: Connecting, id: Parameters<typeof connectionById>[2]) {
  const row = await people.store.records.in(by.organization).read((tx) => connectionById(tx, by.organization, id));
  if (row === undefined) throw new Error('no row');
  return row;
}

const hour = 3_600_000;

describe('a credential that is not due', () => {
  it('is handed out without asking anybody', async () => {
    const given = await standing();
    for (let i = 0; i < 50; i++) expect(await given.token()).toBe('at-0');
    expect(given.refreshes()).toHaveLength(0);
  });
});

describe('a credential that is due', () => {
  it('is refreshed once for 200 who ask at once', async () => {
    const given = await standing();
    await given.pass(hour + 1);
    const all = await Promise.all(Array.from({ length: 200 }, () => given.connect.fresh(given.by, given.connection)));
    expect(new Set(all.map((one) => one.parts.access_token?.reveal()))).toEqual(new Set(['at-1']));
    expect(given.refreshes()).toHaveLength(1);
    expect(given.refreshes()[0]?.parameters.refresh_token).toBe('rt-0');
    expect(given.people.audit.drafts.filter((draft) => draft.name === 'connection.refreshed')).toHaveLength(1);
  });

  it('is refreshed with the newest refresh token every time', async () => {
    const given = await standing();
    for (let i = 1; i <= 5; i++) {
      await given.pass(hour + 1);
      expect(await given.token()).toBe(`at-${i}`);
    }
    expect(given.refreshes().map((one) => one.parameters.refresh_token)).toEqual(['rt-0', 'rt-1', 'rt-2', 'rt-3', 'rt-4']);
  });

  it('keeps its refresh token when the provider sends no new one, and its life when it tells none', async () => {
    const given = await standing((_, count) =>
      count === 1 ? { body: { access_token: 'at-0', refresh_token: 'rt', expires_in: '3600' } } : { body: `access_token=at-${count - 1}` },
    );
    await given.pass(hour + 1);
    expect(await given.token()).toBe('at-1');
    expect(await given.token()).toBe('at-1');
    await given.pass(hour + 1);
    expect(await given.token()).toBe('at-2');
    expect(given.refreshes().map((one) => one.parameters.refresh_token)).toEqual(['rt', 'rt']);
  });

  it('without a refresh token needs its owner once it has ended, not before', async () => {
    const given = await standing(() => ({ body: { access_token: 'at-0', expires_in: 3600 } }));
    await given.pass(hour - 1000);
    expect(await given.token()).toBe('at-0');
    await given.pass(1000);
    await expect(given.token()).rejects.toEqual(fault('needs_attention'));
    expect(await given.status()).toMatchObject({ kind: 'needs_attention', reason: 'expired' });
  });
});

describe('a refresh that fails', () => {
  it.each([
    ['a server error', { status: 503, body: 'down' }],
    ['an answer that is no answer', { body: '<html>' }],
    ['a client that is refused', { status: 401, body: { error: 'invalid_client' } }],
  ])('by %s keeps the old token until it ends, and tries again later', async (_name, failure) => {
    const given = await standing((request, count) => (count === 1 ? rotating(request, count) : failure));
    await given.pass(hour - 30_000);
    expect(await given.token()).toBe('at-0');
    expect(await given.token()).toBe('at-0');
    expect(given.refreshes()).toHaveLength(1);
    await given.pass(30_001);
    await expect(given.token()).rejects.toSatisfy((error) => isFault(error, 'refresh_failed') || isFault(error, 'credential_unavailable'));
    expect(await given.status()).toEqual({ kind: 'connected' });
    given.provider.script = rotating;
    await given.pass(300_001);
    expect(await given.token()).toMatch(/^at-[1-9]/);
    expect(await given.status()).toEqual({ kind: 'connected' });
  });

  it('by 429 waits as long as the provider says', async () => {
    const given = await standing((request, count) =>
      count === 2 ? { status: 429, headers: { 'retry-after': '120' }, body: {} } : rotating(request, count),
    );
    await given.pass(hour + 1);
    await expect(given.token()).rejects.toEqual(fault('credential_unavailable'));
    await given.pass(60_000);
    await expect(given.token()).rejects.toMatchObject({ code: 'credential_unavailable', details: { retryAfter: 60 } });
    expect(given.refreshes()).toHaveLength(1);
    await given.pass(60_001);
    expect(await given.token()).toBe('at-2');
  });

  it('by invalid_grant needs the owner and is never tried again', async () => {
    const given = await standing((request, count) =>
      count === 1 ? rotating(request, count) : { status: 400, body: { error: 'invalid_grant' } },
    );
    await given.pass(hour + 1);
    const all = await Promise.allSettled(Array.from({ length: 20 }, () => given.token()));
    expect(all.every((one) => one.status === 'rejected' && isFault(one.reason, 'needs_attention'))).toBe(true);
    await given.pass(hour);
    await expect(given.token()).rejects.toEqual(fault('needs_attention'));
    expect(given.refreshes()).toHaveLength(1);
    expect(await given.status()).toMatchObject({ kind: 'needs_attention', reason: 'invalid_grant' });
    expect(given.people.audit.drafts.filter((draft) => draft.name === 'connection.needs_attention')).toHaveLength(1);
  });

  it('without an answer is interrupted, tried once more, alone, and recovers', async () => {
    const given = await standing((request, count) => (count === 2 ? {} : rotating(request, count)));
    await given.pass(hour + 1);
    await expect(given.token()).rejects.toEqual(fault('refresh_failed'));
    expect(await given.status()).toMatchObject({ kind: 'interrupted' });
    await given.pass(6_000);
    expect(await given.token()).toBe('at-2');
    expect(await given.status()).toEqual({ kind: 'connected' });
    expect(given.refreshes()).toHaveLength(2);
  });

  it('twice without an answer needs the owner', async () => {
    const given = await standing((request, count) => (count === 1 ? rotating(request, count) : {}));
    await given.pass(hour + 1);
    await expect(given.token()).rejects.toEqual(fault('refresh_failed'));
    await given.pass(6_000);
    await expect(given.token()).rejects.toEqual(fault('needs_attention'));
    await given.pass(hour);
    await expect(given.token()).rejects.toEqual(fault('needs_attention'));
    expect(given.refreshes()).toHaveLength(2);
    expect(await given.status()).toMatchObject({ kind: 'needs_attention', reason: 'interrupted' });
  });
});

describe('a refresher that died', () => {
  /** Leaves the row as a process leaves it that was killed after it sent its request. */
  async function die(given: Awaited<ReturnType<typeof standing>>): Promise<void> {
    const row = await rowOf(given.connecting, given.connection.id);
    await given.write((tx) => updateConnection(tx, given.by.organization, row, { refresh_started_at: given.people.clock.now() }));
  }

  it('is followed by one try, when no lease could still be its own', async () => {
    const given = await standing();
    await given.pass(hour + 1);
    await die(given);
    await given.pass(15_001);
    expect(await given.token()).toBe('at-1');
    expect(await given.status()).toEqual({ kind: 'connected' });
  });

  it('is told of when that try finds the refresh token used', async () => {
    const given = await standing((request, count) =>
      count === 1 ? rotating(request, count) : { status: 400, body: { error: 'invalid_grant' } },
    );
    await given.pass(hour + 1);
    await die(given);
    await given.pass(15_001);
    await expect(given.token()).rejects.toEqual(fault('needs_attention'));
    expect(await given.status()).toMatchObject({ kind: 'needs_attention', reason: 'interrupted' });
  });

  it('twice needs the owner, and nothing more is sent', async () => {
    const given = await standing();
    await given.pass(hour + 1);
    await die(given);
    const row = await rowOf(given.connecting, given.connection.id);
    await given.write((tx) => updateConnection(tx, given.by.organization, row, { status_json: '{"kind":"interrupted","since":1}' }));
    await given.pass(15_001);
    await expect(given.token()).rejects.toEqual(fault('needs_attention'));
    expect(given.refreshes()).toHaveLength(0);
  });

  it('after the answer leaves the rotated token in the row, and the next process uses it', async () => {
    const given = await standing();
    const vault = { ...given.people.vault, seal: () => Promise.reject(new Error('killed before the vault')) };
    const dying = connectOver({ ...given.people, vault }, [given.provider.port]);
    await given.pass(hour + 1);
    await expect(dying.fresh(given.by, given.connection)).rejects.toThrow('killed');
    expect((await rowOf(given.connecting, given.connection.id)).pending_envelope).not.toBeNull();
    expect(await given.token()).toBe('at-1');
    expect((await rowOf(given.connecting, given.connection.id)).pending_envelope).toBeNull();
    await given.pass(hour + 1);
    expect(await given.token()).toBe('at-2');
    expect(given.refreshes().map((one) => one.parameters.refresh_token)).toEqual(['rt-0', 'rt-1']);
  });
});

describe('a forced refresh', () => {
  it('is refused for a token under a minute old', async () => {
    const given = await standing();
    await given.pass(60_000);
    await expect(given.token(true)).rejects.toEqual(fault('refresh_failed'));
    expect(given.refreshes()).toHaveLength(0);
  });

  it('happens once for all who saw the same token refused', async () => {
    const given = await standing();
    await given.pass(61_000);
    const all = await Promise.all(Array.from({ length: 30 }, () => given.connect.fresh(given.by, given.connection, { force: true })));
    expect(new Set(all.map((one) => one.parts.access_token?.reveal()))).toEqual(new Set(['at-1']));
    expect((await given.connect.fresh(given.by, given.connection, { force: true })).parts.access_token?.reveal()).toBe('at-1');
    expect(given.refreshes()).toHaveLength(1);
  });

  it('a second time within five minutes needs the owner', async () => {
    const given = await standing();
    await given.pass(61_000);
    expect(await given.token(true)).toBe('at-1');
    await given.pass(61_000);
    await expect(given.token(true)).rejects.toEqual(fault('needs_attention'));
    expect(await given.status()).toMatchObject({ kind: 'needs_attention', reason: 'rejected' });
    expect(given.refreshes()).toHaveLength(1);
  });

  it('is possible again after five minutes', async () => {
    const given = await standing();
    await given.pass(61_000);
    await given.token(true);
    await given.pass(300_000);
    expect(await given.token(true)).toBe('at-2');
  });
});

describe('neighbours of a refresh', () => {
  it('that change the row meanwhile do not lose the rotated token', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const given = await standing(async (request, count) => {
      if (count === 2) await gate;
      return rotating(request, count);
    });
    await given.pass(hour + 1);
    const running = given.token();
    while (given.refreshes().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await given.write(await given.connect.setDefault(given.by, given.connection.id));
    await given.write((tx) => given.connect.share(tx, given.by, given.connection.id, true));
    release();
    expect(await running).toBe('at-1');
    expect(await given.connect.connection(given.by.organization, given.connection.id)).toMatchObject({
      shared: true,
      status: { kind: 'connected' },
    });
    await given.pass(hour + 1);
    expect(await given.token()).toBe('at-2');
  });

  it('that end the connection meanwhile are not overwritten', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const given = await standing(async (request, count) => {
      if (request.path === '/token' && count === 2) await gate;
      return rotating(request, count);
    });
    await given.pass(hour + 1);
    const running = given.token();
    running.catch(() => {});
    while (given.refreshes().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await given.connect.disconnect(given.by, given.connection.id);
    release();
    await expect(running).rejects.toEqual(fault('connection_unknown'));
    expect(await given.status()).toMatchObject({ kind: 'disconnected' });
  });

  it('that put another credential in its place meanwhile hand out none that still rests', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const given = await standing(async (request, count) => {
      if (request.path === '/token' && count === 2) await gate;
      return rotating(request, count);
    });
    await given.pass(hour + 1);
    const running = given.token();
    running.catch(() => {});
    while (given.refreshes().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const flow = await given.connect.begin(given.by, { provider: 'local', name: 'default', flow: 'api_key', force: true, allow: [] });
    await given.connect.completeWithKey(given.by, flow.id, { api_key: new Secret('key-planted') }, 'command_line');
    release();
    await expect(running).rejects.toEqual(fault('needs_attention'));
    expect(await given.status()).toMatchObject({ kind: 'needs_attention', reason: 'unconfirmed' });
  });
});

describe('a disconnected connection', () => {
  it('is revoked at the provider, refused here at once, and its sealed value gone', async () => {
    const given = await standing();
    expect(await given.connect.disconnect(given.by, given.connection.id)).toEqual({ revokedUpstream: 'yes' });
    expect(given.provider.seen.find((one) => one.path === '/revoke')?.parameters).toMatchObject({
      token: 'rt-0',
      token_type_hint: 'refresh_token',
      client_id: 'our-client',
    });
    await expect(given.connect.fresh(given.by, given.connection)).rejects.toEqual(fault('connection_unknown'));
    const row = await rowOf(given.connecting, given.connection.id);
    expect(
      await given.people.vault.open({
        organization: row.organization_id,
        vault: row.vault_id,
        provider: 'local',
        kind: 'connection',
        name: 'default',
      }),
    ).toBeUndefined();
    expect(await given.connect.candidates(given.by.organization, [row.vault_id], 'local')).toEqual([]);
  });

  it('leaves its name free for another, with another id', async () => {
    const given = await standing();
    await given.connect.disconnect(given.by, given.connection.id);
    const { connection } = await connectByCode(given.connecting);
    expect(connection.id).not.toBe(given.connection.id);
    expect(connection.isDefault).toBe(true);
  });
});

describe('two processes on one database', () => {
  it('refresh an expired connection once', async () => {
    const provider = await startScriptedProvider(async (request, count) => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      return rotating(request, count);
    });
    const connecting = await openConnecting([provider.port], { store: { ephemera: 'sql' } });
    await connecting.register(localDefinition(provider.origin));
    const { connection } = await connectByCode(connecting);
    const { by, people } = connecting;
    const store = await openTestStore({ home: people.store.home, clock: people.clock, ephemera: 'sql' });
    const vault = await openTestVault(store, { keyring: people.keyring });
    const second = connectOver({ ...people, store, vault }, [provider.port]);
    people.clock.advance(hour + 1);
    await people.store.migrate();
    await store.migrate();
    const asks = Array.from({ length: 100 }, () => [connecting.connect.fresh(by, connection), second.fresh(by, connection)]).flat();
    const tokens = new Set((await Promise.all(asks)).map((one) => one.parts.access_token?.reveal()));
    expect(tokens).toEqual(new Set(['at-1']));
    expect(provider.tokenRequests()).toHaveLength(2);
  });
});

describe('choosing', () => {
  it('has one order in every process: own before shared, the default first, then by name', async () => {
    const given = await standing();
    const { connection: b } = await connectByCode(given.connecting, { name: 'b' });
    await connectByCode(given.connecting, { name: 'a' });
    const vaults = await given.people.identity.vaultsOf(given.by);
    const names = async () =>
      (await given.connect.candidates(given.by.organization, vaults, 'local')).map((one) => [one.name, one.isDefault]);
    expect(await names()).toEqual([
      ['default', true],
      ['a', false],
      ['b', false],
    ]);
    await given.write(await given.connect.setDefault(given.by, b.id));
    expect(await names()).toEqual([
      ['b', true],
      ['a', false],
      ['default', false],
    ]);
  });
});
