import { describe, expect, type TestAPI, test } from 'vitest';

/** One guarantee of a port, as a sentence. Fails by throwing. */
export interface Case<B> {
  readonly name: string;
  run(backend: B): Promise<void>;
}

/** Opens a fresh backend for one case. */
export type Opener<B> = () => Promise<B & { close(): Promise<void> }>;

/** Runs every case over a real backend, a fresh one each; `trying` skips them where the backend cannot be had. */
export function runSuite<B>(name: string, cases: readonly Case<B>[], open: Opener<B>, trying: TestAPI | TestAPI['skip'] = test): void {
  describe(name, () => {
    for (const { name: sentence, run } of cases) {
      trying(sentence, async () => {
        const backend = await open();
        try {
          await run(backend);
        } finally {
          await backend.close();
        }
      });
    }
  });
}

/** Proves the suite: an implementation that is broken in a known way must fail the cases that are about it. */
export function expectRejected<B>(what: string, cases: readonly Case<B>[], open: Opener<B>): void {
  test(`the suite rejects ${what}`, async () => {
    expect(await failing(cases, open)).not.toEqual([]);
  });
}

/** The names of the cases that fail; stops at the first, for one is enough. */
async function failing<B>(cases: readonly Case<B>[], open: Opener<B>): Promise<readonly string[]> {
  for (const { name, run } of cases) {
    const backend = await open();
    try {
      await run(backend);
    } catch {
      return [name];
    } finally {
      await backend.close();
    }
  }
  return [];
}
