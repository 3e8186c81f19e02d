import type { z } from 'zod';
import type { schemas } from '#api';
import { Fault } from '#kernel';
import type { Server } from './server.ts';

export type Flow = z.output<typeof schemas.flowView>;

/** Completes a flow with what was typed or piped in: one value, or `NAME=value` lines where the provider has several fields. */
export async function connectWithKey(server: Server, flow: Flow, input: string): Promise<Flow> {
  const done = await server.person.call('connection_key', { params: { flow: flow.id }, body: { fields: fieldsOf(flow, input) } });
  if (done.state.kind === 'failed')
    throw new Fault('upstream_sign_in_failed', done.state.detail === undefined ? {} : { detail: done.state.detail });
  return done;
}

function fieldsOf(flow: Flow, input: string): Record<string, string> {
  const [only, ...more] = flow.fields;
  if (only === undefined) throw new Fault('invalid_usage', { detail: 'This provider takes no key', hint: 'leave --key-stdin out' });
  if (input === '') throw new Fault('invalid_usage', { hint: 'pipe the key into standard input' });
  if (more.length === 0) return { [only.name]: input.trim() };
  const given = Object.fromEntries(
    input.split(/\r?\n/).flatMap((line) => {
      const at = line.indexOf('=');
      return at < 1 ? [] : [[line.slice(0, at).trim(), line.slice(at + 1).trim()]];
    }),
  );
  const missing = flow.fields.filter((field) => (given[field.name] ?? '') === '').map((field) => field.name);
  if (missing.length > 0)
    throw new Fault('invalid_usage', { hint: `give one line each: ${missing.map((name) => `${name}=…`).join(', ')}` });
  return Object.fromEntries(flow.fields.map((field) => [field.name, given[field.name] as string]));
}
