import { statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

/** What became of a checkpoint. */
export interface Checkpoint {
  /** Pages that were in the log. */
  readonly pages: number;
  /** The log was copied to its end and is empty; false: somebody read or wrote just then, and the next one does it. */
  readonly truncated: boolean;
}

/** Copies the log of one file into the file, in a thread of its own: the loop that answers requests waits for no disk. */
export interface Checkpointer {
  run(): Promise<Checkpoint>;
  /** Begins one when the log has grown long. Cheap: it looks once a second. */
  watch(): void;
  /** Waits for one that runs. */
  close(): Promise<void>;
}

/**
 * What the thread does. Copying holds up nobody; only emptying takes the file from writers, and by then little is left to copy.
 * It waits for nobody either (no timeout): who has the file keeps it.
 */
const program = `
const { parentPort, workerData } = require('node:worker_threads');
const { DatabaseSync } = require('node:sqlite');
const database = new DatabaseSync(workerData.path, { timeout: 0 });
const checkpoint = (mode) => database.prepare('pragma wal_checkpoint(' + mode + ')').get();
let pages = 0;
for (let tries = 0; tries < 5; tries++) {
  const { log, checkpointed } = checkpoint('passive');
  pages = Math.max(pages, log);
  if (log - checkpointed < workerData.little) break;
}
const last = checkpoint('truncate');
database.close();
parentPort.postMessage({ pages, truncated: last.busy === 0 && last.log === 0 });
`;

const little = 200;
const lookEvery = 1_000;

/** `longest`: bytes of the log at which `watch` begins one. */
export function createCheckpointer(path: string, longest: number): Checkpointer {
  let running: Promise<Checkpoint> | undefined;
  let looked = performance.now();

  function run(): Promise<Checkpoint> {
    running ??= inThread(path).finally(() => {
      running = undefined;
    });
    return running;
  }

  return Object.freeze({
    run,
    watch() {
      if (running !== undefined || performance.now() - looked < lookEvery) return;
      looked = performance.now();
      const size = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
      // One that fails is tried again: the log is whole all the same.
      if (size > longest) void run().catch(() => {});
    },
    async close() {
      await running?.catch(() => {});
    },
  });
}

function inThread(path: string): Promise<Checkpoint> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(program, {
      eval: true,
      workerData: { path, little },
      env: {},
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    thread.unref();
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', (code) => reject(new Error(`the thread of a checkpoint ended with ${code}`)));
  });
}
