import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Fault } from '#kernel';
import { tokenAlgorithmNames } from '#oauth';
import { type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { parseTime, timeOf } from '../listing.ts';
import { first, parkedChange } from './agent.ts';
import { oneOf } from './client.ts';

/** Keys that sign the tokens we issue. */
export function issuerKeyCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'issuer-keys', 'the keys that sign issued tokens');
  addCommand<{ readonly search?: string }>(group, host, {
    usage: 'list',
    tells: 'published keys: which sign, which will, which only verify',
    example: 'gatehouse issuer-keys list --search ES256',
    options: [['--search <text>', 'only what contains this text']],
    action: list,
  });
  addCommand<WaitOptions & { readonly alg: string }>(group, host, {
    usage: 'rotate',
    tells: 'make the next key, published at once and used a little later, confirmed in the browser',
    example: 'gatehouse issuer-keys rotate',
    options: [['--alg <algorithm>', `of the key: ${tokenAlgorithmNames.join(', ')}`, 'ES256'], ...waitFlags],
    async action(context, _given, flags) {
      const algorithm = oneOf('--alg', flags.alg, tokenAlgorithmNames);
      const done = 'made; see when it signs: gatehouse issuer-keys list';
      return parkedChange(context, flags, (server) => server.person.call('signing_key_rotate', { body: { algorithm } }), done);
    },
  });
  importing(group, host);
}

interface ImportFlags extends WaitOptions {
  readonly pem?: string;
  readonly kid?: string;
  readonly retireAfter?: string;
}

function importing(group: Command, host: CommandHost): void {
  addCommand<ImportFlags>(group, host, {
    usage: 'import',
    tells: 'publish a key of an earlier system, so that its tokens keep verifying; it signs nothing, confirmed in the browser',
    example: 'gatehouse issuer-keys import --pem old.pem --kid old-2025 --retire-after 90d',
    options: [
      ['--pem <file>', 'public key, certificate, or private key, of which the public half is sent'],
      ['--kid <kid>', 'what the tokens of the earlier system call it'],
      ['--retire-after <time>', 'when it leaves the key set: 90d, 12h or a date; else when it is removed'],
      ...waitFlags,
    ],
    async action(context, _given, flags) {
      const { pem, kid, retireAfter } = flags;
      if (pem === undefined || kid === undefined) throw new Fault('invalid_usage', { hint: 'give --pem and --kid' });
      const retires = retireAfter === undefined ? {} : { retires_at: parseTime(retireAfter, context.clock.now(), 1) };
      const body = { kid, public_jwk: publicJwkOf(pem), ...retires };
      return parkedChange(context, flags, (server) => server.person.call('signing_key_import', { body }), 'published');
    },
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'remove <kid>',
    tells: 'take an imported key out of the key set at once',
    example: 'gatehouse issuer-keys remove old-2025 --preview',
    options: [['--preview', 'only tell what would be removed']],
    async action(context, given, { preview }) {
      const query = { preview: preview ? 'true' : 'false' } as const;
      const key = await context.server().person.call('signing_key_withdraw', { params: { kid: first(given) }, query });
      if (context.speech.json) context.speech.value(key);
      else context.speech.fact(`${key.kid} ${preview ? 'would be' : 'is'} removed`);
      return undefined;
    },
  });
}

/** The public half of what is in a file; a private key stays here. */
function publicJwkOf(file: string): Record<string, unknown> {
  try {
    return { ...createPublicKey(readFileSync(resolve(file))).export({ format: 'jwk' }) };
  } catch (cause) {
    throw new Fault('invalid_usage', { detail: 'The file of --pem cannot be read as a key', cause });
  }
}

async function list(context: Context, _given: readonly string[], { search }: { readonly search?: string }): Promise<undefined> {
  const query = search === undefined ? {} : { text: search };
  const { items, imported } = await context.server().person.call('signing_key_list', { query });
  const rows = [
    ...items.map((key) => [key.id, key.algorithm, key.state, timeOf(key.signs_from), undefined]),
    ...imported.map((key) => [key.kid, key.algorithm, 'imported', undefined, timeOf(key.retires_at)]),
  ];
  if (context.speech.json) context.speech.value({ items, imported });
  else if (rows.length === 0) context.speech.note('no keys yet; the first is made with the first token');
  else context.speech.table(['key', 'algorithm', 'state', 'signs from', 'until'], rows);
  return undefined;
}
