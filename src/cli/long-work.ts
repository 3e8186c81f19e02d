import type { Context } from './context.ts';
import type { Advance } from './contract.ts';

const toldEvery = 5_000;
const shownEvery = 200;

/** Says how far long work has come: on a terminal in one line that changes, elsewhere in a line every five seconds. */
export function followWork(context: Context): { readonly onProgress: (advance: Advance) => void; end(): void } {
  const { stderr } = context.io;
  const terminal = stderr.isTTY === true;
  let told = terminal ? 0 : performance.now();
  let shown = false;
  return {
    onProgress(advance) {
      const now = performance.now();
      if (now - told < (terminal ? shownEvery : toldEvery)) return;
      told = now;
      const line = lineOf(advance);
      if (terminal) stderr.write(`\r\u001b[2K${line}`);
      else context.speech.note(line);
      shown = terminal;
    },
    end() {
      if (shown) stderr.write('\r\u001b[2K');
    },
  };
}

function lineOf({ step, done, total }: Advance): string {
  const share = total === 0 ? 100 : Math.floor((100 * done) / total);
  return `${step}: ${done} of ${total} (${share} %)`;
}

/** Runs long work and says how far it has come. */
export async function withProgress<T>(context: Context, work: (onProgress: (advance: Advance) => void) => Promise<T>): Promise<T> {
  const progress = followWork(context);
  try {
    return await work(progress.onProgress);
  } finally {
    progress.end();
  }
}
