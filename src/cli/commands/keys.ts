import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { Fault } from '#kernel';
import { awaitConfirmation, type Confirmation, type WaitOptions, waitFlags, waitUntil } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import type { Server } from '../server.ts';
import { parkedChange } from './agent.ts';

/** Master keys. */
export function keyCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'keys', 'the master keys that seal everything');
  addCommand(group, host, {
    usage: 'list',
    tells: 'master keys by id, and how much each wraps',
    example: 'gatehouse keys list',
    action: list,
  });
  addCommand<WaitOptions>(group, host, {
    usage: 'add',
    tells: 'add a master key to the key file, confirmed in the browser',
    example: 'gatehouse keys add',
    options: waitFlags,
    action: (context, _given, flags) =>
      parkedChange(context, flags, (server) => server.person.call('key_add'), 'added; use it next: gatehouse keys rotate'),
  });
  addCommand<WaitOptions & { readonly compromised?: boolean }>(group, host, {
    usage: 'rotate',
    tells: 're-wrap everything with the newest master key, confirmed in the browser',
    example: 'gatehouse keys rotate',
    options: [['--compromised', 'also make new data keys, seal everything anew, and list what to replace upstream'], ...waitFlags],
    action: rotate,
  });
  addCommand(group, host, {
    usage: 'generate',
    tells: 'make a master key here and print it once; nothing is stored',
    example: 'gatehouse keys generate > master.key && chmod 600 master.key',
    action: generate,
  });
}

async function list(context: Context): Promise<undefined> {
  const { items } = await context.server().person.call('key_list');
  if (context.speech.json) context.speech.value({ items });
  else
    context.speech.table(
      ['key', 'use', 'wraps'],
      items.map((key) => [key.id, key.use, key.wraps]),
    );
  return undefined;
}

async function generate(context: Context): Promise<undefined> {
  const key = randomBytes(32).toString('hex');
  if (context.speech.json) context.speech.value({ key });
  else context.speech.fact(key);
  context.speech.note('keep it in a file only the server can read, and name it with GATEHOUSE_MASTER_KEY_FILE');
  return undefined;
}

async function rotate(
  context: Context,
  _given: readonly string[],
  flags: WaitOptions & { readonly compromised?: boolean },
): Promise<undefined> {
  const server = context.server();
  const parked = await server.person.call('key_rotate', { body: { compromised: flags.compromised === true } });
  const confirmed = await awaitConfirmation(context, server, parked, flags);
  const job = jobOf(confirmed);
  if (job === undefined) {
    if (context.speech.json) context.speech.value(confirmed);
    else context.speech.fact('not confirmed yet');
    return undefined;
  }
  const done = await finished(context, server, job);
  if (context.speech.json) context.speech.value(done);
  else {
    context.speech.fact('rotated: old keys open nothing any more');
    for (const line of toReplace(done.progress)) context.speech.fact(`replace upstream: ${line}`);
  }
  return undefined;
}

function jobOf({ result }: Confirmation): string | undefined {
  return result?.job;
}

/** The work goes on at the server whatever happens here; this only watches. @throws {Fault} `internal` when it failed */
async function finished(context: Context, server: Server, job: string) {
  const done = await waitUntil(context, 're-wrapping', async () => {
    const now = await server.person.call('job_get', { params: { job } });
    return now.status === 'waiting' || now.status === 'running' ? undefined : now;
  });
  if (done.status !== 'done')
    throw new Fault('internal', { detail: 'The rotation did not finish', hint: 'repeat it: what is done stays done' });
  return done;
}

function toReplace(progress: unknown): readonly string[] {
  if (typeof progress !== 'object' || progress === null || !('replace' in progress) || !Array.isArray(progress.replace)) return [];
  return progress.replace.map(String);
}
