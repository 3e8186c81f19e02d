import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Log } from '#kernel';

/** PEM texts that go together. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Where a pair lies. */
export type PairFiles = Pair;

const looksEvery = 1_000;

/** Reads a pair and tries it. `problem` says why it is no good; it never holds anything of the files. */
export function readPair(files: PairFiles): { readonly pair: Pair; readonly problem: string | undefined } {
  const pair = { cert: readFileSync(files.cert, 'utf8'), key: readFileSync(files.key, 'utf8') };
  return { pair, problem: problemOf(pair) };
}

function problemOf(pair: Pair): string | undefined {
  try {
    createSecureContext(pair);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    return code.includes('MISMATCH') ? 'the key does not belong to the certificate' : 'certificate or key is not PEM that can be used';
  }
}

/**
 * Looks every second whether the files hold another pair (what renews them may replace the files, or a link to their folder),
 * and calls `use` with each good one. A bad one is told once and not used; half of a pair is waited for until the next look.
 */
export function watchPair(files: PairFiles, first: Pair, log: Log, use: (pair: Pair) => void): { close(): void } {
  let used = textOf(first);
  let seen = used;
  let told = '';

  function look(): void {
    const { pair, problem } = attempt(files);
    const text = pair === undefined ? 'unreadable' : textOf(pair);
    const settled = text === seen;
    seen = text;
    if (text === used || text === told) return;
    if (pair !== undefined && problem === undefined) {
      use(pair);
      [used, told] = [text, ''];
      log.info('the certificate was replaced; new connections get it');
    } else if (settled) {
      told = text;
      log.warn('the new certificate is not used, and the old one stays', { problem });
    }
  }

  const timer = setInterval(look, looksEvery);
  timer.unref();
  return { close: () => clearInterval(timer) };
}

function attempt(files: PairFiles): { readonly pair?: Pair; readonly problem: string | undefined } {
  try {
    return readPair(files);
  } catch {
    return { problem: 'the files cannot be read' };
  }
}

const textOf = ({ cert, key }: Pair) => `${cert}\n${key}`;
