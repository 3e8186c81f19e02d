import { describe, expect, expectTypeOf, it } from 'vitest';
import { isFault, newId } from '#kernel';
import { type ClientRequest, createClient } from './client.ts';

function scripted(status: number, body: unknown, headers: Record<string, string> = {}) {
  const sent: ClientRequest[] = [];
  const client = createClient({
    send: async (request) => {
      sent.push(request);
      return { status, headers, body: typeof body === 'string' ? body : JSON.stringify(body) };
    },
  });
  return { client, sent };
}

const problemOf = (code: string, status: number) => ({
  type: `urn:gatehouse:problem:${code}`,
  title: 'A title',
  status,
  code,
  hint: 'a hint',
  request_id: newId('req'),
  source: 'gatehouse',
});

describe('the typed client', () => {
  it('encodes parameters, leaves out absent query values and writes defaults of none', async () => {
    const { client, sent } = scripted(200, { items: [] });
    await client.call('connection_list', { query: { provider: 'git hub', limit: 5 } });
    await client.call('agent_list');
    expect(sent.map((request) => request.path)).toEqual(['/v1/connections?provider=git+hub&limit=5', '/v1/agents']);
    expect(sent[0]?.body).toBeUndefined();
  });

  it('encodes a slash in a path parameter', async () => {
    const { client, sent } = scripted(404, problemOf('connection_unknown', 404));
    await expect(client.call('connection_get', { params: { connection: 'github/work' } })).rejects.toThrow();
    expect(sent[0]?.path).toBe('/v1/connections/github%2Fwork');
  });

  it('sends a JSON body with its type', async () => {
    const { client, sent } = scripted(200, {});
    await client.call('run_end', { params: { run: newId('run') }, body: {} });
    expect(sent[0]?.headers['content-type']).toBe('application/json');
    expect(sent[0]?.body).toBe('{}');
  });

  it('tells by status which of several answers came', async () => {
    const { client } = scripted(202, { status: 'waiting' });
    const answer = await client.ask('command_line_collect', { body: { device_code: 'x' } });
    if (answer.status === 202) expectTypeOf(answer.body.status).toEqualTypeOf<'waiting'>();
    expect(answer).toEqual({ status: 202, body: { status: 'waiting' } });
  });

  it('throws the fault the server named, with its words', async () => {
    const { client } = scripted(
      429,
      { ...problemOf('rate_limited', 429), detail: 'Slow down', errors: { '/a': 'b' } },
      { 'retry-after': '7' },
    );
    const error = await client.call('whoami').catch((thrown: unknown) => thrown);
    if (!isFault(error, 'rate_limited')) throw error;
    expect(error.message).toBe('Slow down');
    expect(error.hint).toBe('a hint');
    expect(error.details).toMatchObject({ retryAfter: 7, fields: { '/a': 'b' } });
  });

  it('keeps the words of a fault this version does not know', async () => {
    const { client } = scripted(403, problemOf('from_the_future', 403));
    await expect(client.call('whoami')).rejects.toMatchObject({ code: 'forbidden', message: 'A title' });
  });

  it('says so when the answer is not what the contract promises', async () => {
    await expect(scripted(200, '<html>').client.call('whoami')).rejects.toMatchObject({ code: 'upstream_invalid' });
    await expect(scripted(502, '<html>').client.call('whoami')).rejects.toMatchObject({ code: 'unavailable' });
  });
});
