import { describe, expect, it } from 'vitest';
import { type ConnectionId, type FaultCode, type FlowId, newId, Secret } from '#kernel';
import {
  connectByCode,
  giveClient,
  localDefinition,
  openConnecting,
  principalOf,
  startScriptedProvider,
} from '../../test/support/connecting.ts';
import { createTestUser } from '../../test/support/people.ts';
import { connectionById, updateConnection } from './connections.sql.ts';
import { connectSealedColumns } from './sealed-columns.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });
const plain = { provider: 'openai', name: 'default', force: false, allow: [] };

async function keyed() {
  const connecting = await openConnecting();
  const { connect, by } = connecting;
  const make = async (name = 'default') => {
    const flow = await connect.begin(by, { ...plain, name });
    return (await connect.completeWithKey(by, flow.id, { api_key: new Secret('sk-canary-0123456789abc') }, 'browser')).connection;
  };
  return { ...connecting, make };
}

describe('a shared connection', () => {
  it('is seen by everyone in the organization, and by nobody once it is not', async () => {
    const { connect, by, people, write, make } = await keyed();
    const connection = await make();
    const eve = principalOf(await createTestUser(people, 'eve@example.com'));
    const vaults = await people.identity.vaultsOf(eve);
    const seen = async () => (await connect.candidates(eve.organization, vaults, 'openai')).map((one) => [one.name, one.isDefault]);
    expect(await seen()).toEqual([]);
    await write((tx) => connect.share(tx, by, connection.id, true));
    expect(await seen()).toEqual([['default', false]]);
    expect((await connect.fresh(eve, connection)).parts.api_key?.reveal()).toBe('sk-canary-0123456789abc');
    await write((tx) => connect.share(tx, by, connection.id, false));
    expect(await seen()).toEqual([]);
  });

  it('is not changed by whom it is shared with, nor shared by anybody but its owner', async () => {
    const { connect, by, people, write, make } = await keyed();
    const connection = await make();
    const eve = principalOf(await createTestUser(people, 'eve@example.com'));
    const admin = principalOf(await createTestUser(people, 'ann@example.com', 'administrator'));
    await expect(write((tx) => connect.share(tx, eve, connection.id, true))).rejects.toEqual(fault('forbidden'));
    await expect(write((tx) => connect.share(tx, admin, connection.id, true))).rejects.toEqual(fault('forbidden'));
    await write((tx) => connect.share(tx, by, connection.id, true));
    await expect(connect.disconnect(eve, connection.id)).rejects.toEqual(fault('forbidden'));
    await expect(connect.setDefault(eve, connection.id)).rejects.toEqual(fault('forbidden'));
    const agent = { ...by, actors: [{ kind: 'agent', id: newId('agt') }] } as const;
    await expect(connect.disconnect(agent, connection.id)).rejects.toEqual(fault('forbidden'));
    await connect.disconnect(admin, connection.id);
  });

  it('is not reached from another organization', async () => {
    const { connect, by, make } = await keyed();
    const connection = await make();
    const other = { ...by, organization: newId('org') };
    await expect(connect.fresh(other, connection)).rejects.toEqual(fault('forbidden'));
    expect(await connect.connection(other.organization, connection.id)).toBeUndefined();
    await expect(connect.disconnect(other, connection.id)).rejects.toEqual(fault('connection_unknown'));
  });
});

describe('connections', () => {
  it('are listed by provider, status and text, page by page', async () => {
    const { connect, by, people, make } = await keyed();
    const made = [];
    for (const name of ['one', 'two', 'three']) made.push(await make(name));
    await connect.disconnect(by, made[1]?.id ?? newId('con'));
    const vaults = await people.identity.vaultsOf(by);
    const list = (query: object) => connect.connections(by.organization, vaults, { limit: 10, ...query });
    expect((await list({})).items).toHaveLength(3);
    expect((await list({ status: 'connected' })).items.map((one) => one.name)).toEqual(['one', 'three']);
    expect((await list({ text: 'THR' })).items.map((one) => one.name)).toEqual(['three']);
    expect((await list({ text: '%' })).items).toEqual([]);
    expect((await list({ provider: 'github' })).items).toEqual([]);
    const first = await list({ limit: 2 });
    const second = await list({ limit: 2, cursor: first.next });
    expect([first.items.length, second.items.map((one) => one.name), second.next]).toEqual([2, ['three'], undefined]);
    await expect(list({ cursor: 'nonsense' })).rejects.toEqual(fault('invalid_request'));
  });

  it('have one default however many set it at once', async () => {
    const { connect, by, people, write, make } = await keyed();
    const all = [await make('a'), await make('b'), await make('c')];
    const set = async (id: ConnectionId) => write(await connect.setDefault(by, id));
    await Promise.allSettled(all.flatMap((one) => [set(one.id), set(one.id)]));
    const seen = await connect.candidates(by.organization, await people.identity.vaultsOf(by), 'openai');
    expect(seen.filter((one) => one.isDefault)).toHaveLength(1);
    expect(seen[0]?.isDefault).toBe(true);
  });

  it('tell of every change in the trail, and never a secret', async () => {
    const { connect, by, people, write, make } = await keyed();
    const one = await make('one');
    const two = await make('two');
    await write(await connect.setDefault(by, two.id));
    await write((tx) => connect.share(tx, by, one.id, true));
    await connect.disconnect(by, one.id);
    const { events } = await people.audit.search(by.organization, { limit: 100 });
    const names = events.map((event) => event.name);
    for (const name of ['connection.started', 'connection.made', 'connection.default_set', 'connection.shared', 'connection.disconnected'])
      expect(names).toContain(name);
    expect(JSON.stringify(events)).not.toContain('canary');
    expect((await people.audit.verify(by.organization)).holds).toBe(true);
  });

  it('whose sealed value does not open need their owner', async () => {
    const { connect, by, people, make } = await keyed();
    const connection = await make();
    await people.store.sealed.remove(`vault:${connection.vault}:openai:connection:default`, 1);
    await people.store.records.in(by.organization).write((tx) => tx.bump('connections'));
    await expect(connect.fresh(by, connection)).rejects.toEqual(fault('needs_attention'));
    expect((await connect.connection(by.organization, connection.id))?.status).toMatchObject({ reason: 'unreadable' });
    const again = await connect.begin(by, { ...plain, force: true });
    await connect.completeWithKey(by, again.id, { api_key: new Secret('sk-0123456789abcdefgh') }, 'browser');
    expect((await connect.fresh(by, connection)).parts.api_key?.reveal()).toBe('sk-0123456789abcdefgh');
  });
});

describe('a connection made outside the browser (SECURITY 4)', () => {
  async function commanded() {
    const connecting = await openConnecting();
    const { connect, by, write } = connecting;
    const make = async (key: string, force = false) => {
      const flow = await connect.begin(by, { ...plain, force });
      const { connection } = await connect.completeWithKey(by, flow.id, { api_key: new Secret(key) }, 'command_line');
      return { connection, flow: flow.id };
    };
    const confirm = (connection: ConnectionId, flow: FlowId, who = by) => write((tx) => connect.confirm(tx, who, { connection, flow }));
    return { ...connecting, make, confirm };
  }
  const resting = { kind: 'needs_attention', reason: 'unconfirmed' };

  it('rests until its owner says yes, and nobody else’s yes counts', async () => {
    const { connect, by, people, make, confirm } = await commanded();
    const { connection, flow } = await make('sk-canary-0123456789abc');
    expect(connection.status).toMatchObject(resting);
    await expect(connect.fresh(by, connection)).rejects.toEqual(fault('needs_attention'));
    const admin = principalOf(await createTestUser(people, 'ann@example.com', 'administrator'));
    await expect(confirm(connection.id, flow, admin)).rejects.toEqual(fault('forbidden'));
    expect((await confirm(connection.id, flow)).status.kind).toBe('connected');
    expect((await connect.fresh(by, connection)).parts.api_key?.reveal()).toBe('sk-canary-0123456789abc');
    expect((await confirm(connection.id, flow)).status.kind).toBe('connected');
  });

  it('stops what it takes the place of, and a yes to one credential is none to the next', async () => {
    const { connect, by, make, confirm } = await commanded();
    const first = await make('sk-canary-0123456789abc');
    const second = await make('sk-other-0123456789abcd', true);
    expect(second.connection.id).toBe(first.connection.id);
    await expect(confirm(first.connection.id, first.flow)).rejects.toEqual(fault('conflict'));
    expect((await connect.connection(by.organization, first.connection.id))?.status).toMatchObject(resting);
    await confirm(second.connection.id, second.flow);
    expect((await connect.fresh(by, second.connection)).parts.api_key?.reveal()).toBe('sk-other-0123456789abcd');
    await make('sk-third-0123456789abcd', true);
    await expect(connect.fresh(by, second.connection)).rejects.toEqual(fault('needs_attention'));
  });
});

describe('a client of the organization', () => {
  it('does not go to the endpoints of a definition that changed after it was stored', async () => {
    const provider = await startScriptedProvider();
    const { connect, people, by, register } = await openConnecting([provider.port]);
    await register(localDefinition(provider.origin));
    await giveClient({ connect, people, by }, 'local', { id: 'ours', secret: new Secret('canary-secret') });
    await register(localDefinition('https://elsewhere.example'));
    await expect(connect.begin(by, { ...plain, provider: 'local', flow: 'pkce' })).rejects.toEqual(fault('invalid_request'));
    await giveClient({ connect, people, by }, 'local', { id: 'ours', secret: new Secret('canary-secret') });
    expect((await connect.begin(by, { ...plain, provider: 'local', flow: 'pkce' })).state.kind).toBe('waiting');
    const agent = { ...by, actors: [{ kind: 'agent', id: newId('agt') }] } as const;
    await expect(connect.holdClient(agent, 'local', { id: 'x', secret: undefined })).rejects.toEqual(fault('forbidden'));
  });
});

describe('what this room seals itself', () => {
  it('is listed for key rotation, opens under its label, and is replaced only if it is still that value', async () => {
    const provider = await startScriptedProvider(() => ({ body: { access_token: 'at', refresh_token: 'rt', expires_in: 3600 } }));
    const connecting = await openConnecting([provider.port]);
    const { people, by, write } = connecting;
    await connecting.register(localDefinition(provider.origin));
    const { connection } = await connectByCode(connecting);
    const row = await people.store.records.in(by.organization).read((tx) => connectionById(tx, by.organization, connection.id));
    if (row === undefined) throw new Error('no row');
    const { pendingLabel } = await import('./labels.ts');
    const envelope = await people.vault.enclose(pendingLabel(row, row.sealed_version), new Secret('{"waiting":1}'));
    await write((tx) => updateConnection(tx, by.organization, row, { pending_envelope: envelope }));
    const columns = connectSealedColumns({ records: people.store.records });
    expect(columns.map((column) => column.name)).toEqual([
      'connections.pending_envelope',
      'flows.sealed_envelope',
      'provider_clients.secret_envelope',
    ]);
    for (const column of columns) {
      const [cell, ...rest] = await column.list(undefined, 10);
      if (cell === undefined) throw new Error(`nothing in ${column.name}`);
      expect(rest).toEqual([]);
      const value = await people.vault.disclose(cell.label, cell.envelope);
      expect(await cell.update(await people.vault.enclose(cell.label, value))).toBe(true);
      expect(await cell.update(cell.envelope)).toBe(false);
      expect(await column.list(cell.cursor, 10)).toEqual([]);
    }
  });
});
