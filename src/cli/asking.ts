import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { confirm, isCancel, multiselect } from '@clack/prompts';
import type { z } from 'zod';
import type { schemas } from '#api';
import { Fault } from '#kernel';
import type { Context } from './context.ts';
import type { Server } from './server.ts';

export type Confirmation = z.output<typeof schemas.confirmationView>;

/** Asks yes or no. Only on a terminal. @throws {Fault} `cancelled` */
export async function askYes(context: Context, question: string): Promise<boolean> {
  mustBeTerminal(context, 'answer in advance with --yes');
  await forgetTyped(context.io.stdin);
  return answered(await confirm({ message: question, initialValue: false }));
}

/** What was typed while something else was shown answers no question that came after it. @throws {Fault} `cancelled` */
async function forgetTyped(stdin: Context['io']['stdin']): Promise<void> {
  let typed = '';
  const take = (part: unknown) => {
    typed += String(part);
  };
  stdin.setRawMode?.(true);
  stdin.on('data', take);
  await sleep(50);
  stdin.off('data', take);
  stdin.pause();
  stdin.setRawMode?.(false);
  if (typed.includes(interrupt)) throw new Fault('cancelled');
}

const interrupt = '\u0003';

/** Asks which of several, none included. Only on a terminal. @throws {Fault} `cancelled` */
export async function askSeveral(context: Context, question: string, choices: readonly string[]): Promise<readonly string[]> {
  mustBeTerminal(context, 'name what you want');
  return answered(await multiselect({ message: question, options: choices.map((value) => ({ value, label: value })), required: false }));
}

function mustBeTerminal(context: Context, hint: string): void {
  if (!context.speech.terminal)
    throw new Fault('invalid_usage', { detail: 'This needs an answer, and there is no terminal to ask on', hint });
}

function answered<T>(answer: T): Exclude<T, symbol> {
  if (isCancel(answer)) throw new Fault('cancelled');
  return answer as Exclude<T, symbol>;
}

/** All of standard input, without its last line break. @throws {Fault} `invalid_usage` when a person would have to type it blind */
export async function readInput(context: Context, limit = 1024 * 1024): Promise<string> {
  if (context.io.stdin.isTTY === true) throw new Fault('invalid_usage', { hint: 'pipe it into standard input' });
  let text = '';
  for await (const part of context.io.stdin) {
    text += String(part);
    if (text.length > limit) throw new Fault('payload_too_large');
  }
  return text.replace(/\r?\n$/, '');
}

/** Shows a link; opens it too where a person asked for that and sits at a terminal. */
export function showLink(context: Context, sentence: string, url: string, open = false): void {
  context.speech.note(`${sentence}\n\n  ${url}\n`);
  if (!open || !context.speech.terminal) return;
  const opener = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(opener, [url], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
}

export interface WaitOptions {
  readonly wait?: boolean;
  readonly open?: boolean;
}

/** Flags of every command that waits for a person in the browser. */
export const waitFlags: readonly (readonly [string, string])[] = [
  ['--no-wait', 'print the link and go on'],
  ['--open', 'open the link in the browser'],
];

/**
 * Prints a confirmation's link and waits for the person (SECURITY 4). With `--no-wait` it returns at once, still open.
 * @throws {Fault} `cancelled`, `confirmation_ended`
 */
export async function awaitConfirmation(
  context: Context,
  server: Server,
  parked: Confirmation,
  options: WaitOptions,
): Promise<Confirmation> {
  showLink(context, 'confirm it in the browser:', parked.url, options.open);
  if (options.wait === false) return parked;
  const answer = await waitUntil(context, 'waiting for your confirmation', async () => {
    const now = await server.person.call('confirmation_get', { params: { confirmation: parked.id } });
    return now.status === 'open' ? undefined : now;
  });
  if (answer.status === 'confirmed') return answer;
  if (answer.status === 'refused') throw new Fault('cancelled', { detail: 'It was refused in the browser', hint: 'nothing was changed' });
  throw new Fault('confirmation_ended');
}

/** Asks again and again until there is an answer; an interrupt ends the wait. @throws {Fault} `cancelled` */
export async function waitUntil<T>(context: Context, sentence: string, ask: () => Promise<T | undefined>, every = 1000): Promise<T> {
  const progress = context.speech.progress(sentence);
  const stopped = new AbortController();
  const interrupted = once(process, 'SIGINT', { signal: stopped.signal }).then(
    () => 'interrupted' as const,
    () => 'interrupted' as const,
  );
  try {
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if ((await Promise.race([sleep(every, 'again' as const), interrupted])) === 'interrupted') throw new Fault('cancelled');
    }
  } finally {
    stopped.abort();
    progress.done();
  }
}
