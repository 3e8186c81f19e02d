import type { Command } from 'commander';
import { Fault } from '#kernel';
import { type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { timeOf } from '../listing.ts';
import { parkedChange } from './agent.ts';

const algorithms = ['ES256', 'RS256', 'EdDSA'] as const;

/** Keys that sign the tokens we issue. */
export function issuerKeyCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'issuer-keys', 'the keys that sign issued tokens');
  addCommand(group, host, {
    usage: 'list',
    tells: 'published keys: which sign, which will, which only verify',
    example: 'gatehouse issuer-keys list',
    action: list,
  });
  addCommand<WaitOptions & { readonly alg: string }>(group, host, {
    usage: 'rotate',
    tells: 'make the next key, published at once and used a little later, confirmed in the browser',
    example: 'gatehouse issuer-keys rotate',
    options: [['--alg <algorithm>', `of the key: ${algorithms.join(', ')}`, 'ES256'], ...waitFlags],
    async action(context, _given, flags) {
      const algorithm = algorithms.find((name) => name === flags.alg);
      if (algorithm === undefined) throw new Fault('invalid_usage', { hint: `--alg takes: ${algorithms.join(', ')}` });
      const done = 'made; see when it signs: gatehouse issuer-keys list';
      return parkedChange(context, flags, (server) => server.person.call('signing_key_rotate', { body: { algorithm } }), done);
    },
  });
}

async function list(context: Context): Promise<undefined> {
  const { items } = await context.server().person.call('signing_key_list');
  if (context.speech.json) context.speech.value({ items });
  else if (items.length === 0) context.speech.note('no keys yet; the first is made with the first token');
  else
    context.speech.table(
      ['key', 'algorithm', 'state', 'signs from'],
      items.map((key) => [key.id, key.algorithm, key.state, timeOf(key.signs_from)]),
    );
  return undefined;
}
