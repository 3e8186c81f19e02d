import cluster, { type Worker as Process } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '#kernel';
import { untilStopped } from './stopping.ts';

/** One of the processes of a service, as it sees itself. */
export interface Worker {
  readonly of: number;
  /** Counted up with every process that is started. */
  readonly id: number;
  /** Serves from now on. */
  ready(): void;
  /** Another process takes the place of this one: it is to end, and the service is not. */
  readonly replaced: Promise<void>;
}

type Told = { readonly gatehouse: 'ready' | 'replaced' };

const isTold = (message: unknown, what: Told['gatehouse']) =>
  typeof message === 'object' && message !== null && 'gatehouse' in message && message.gatehouse === what;

/** This process as one of several; undefined when it is the only one, or the one that starts the others. */
export function thisWorker(of: number): Worker | undefined {
  const self = cluster.worker;
  if (!cluster.isWorker || self === undefined) return undefined;
  const replaced = new Promise<void>((resolve) => {
    process.on('message', (message) => {
      if (isTold(message, 'replaced')) resolve();
    });
  });
  return { of, id: self.id, ready: () => void self.send({ gatehouse: 'ready' } satisfies Told), replaced };
}

export interface WorkersOptions {
  readonly count: number;
  /** The program that each of them runs, with its parameters. */
  readonly program: string;
  readonly parameters: readonly string[];
  /** How long one may take to end, milliseconds. */
  readonly deadline: number;
  readonly log: Log;
  /** Called when every place was given a new process, or could not be. */
  readonly restarted: (restarts: number, problem: string | undefined) => void;
}

/** The first wait before a process that ended is replaced; doubled each time it does not live long. Milliseconds. */
const [shortestWait, longestWait, longLife] = [500, 30_000, 60_000];
/** Beyond its deadline, until it is killed. */
const patience = 15_000;

/** A process, its place, and how it ended. */
interface Place {
  worker: Started | undefined;
  failures: number;
}

interface Started {
  readonly process: Process;
  readonly since: number;
  /** Resolves with how it ended. */
  readonly ended: Promise<string>;
  /** True once it serves, false when it ended before. */
  readonly serves: Promise<boolean>;
  /** It was told to end. */
  leaving: boolean;
}

/**
 * Keeps `count` processes of one service, which share its ports: replaces one that ends, with a growing wait; replaces all, one
 * after the other, at SIGUSR2 (and at SIGHUP, unless a terminal is what hangs up); ends all when it is told to.
 * @returns the exit code: of the first, if it never served; else 0
 */
export async function keepWorkers(options: WorkersOptions): Promise<number> {
  const { count, log } = options;
  cluster.setupPrimary({ exec: options.program, args: [...options.parameters] });
  const onTerminal = process.stdin.isTTY === true;
  const stopping = untilStopped(log, ['SIGTERM', 'SIGINT', ...(onTerminal ? (['SIGHUP'] as const) : [])]);
  const supervision = new Supervision(options);
  const beginning = supervision.begin();
  const onceBegun = async (act: () => unknown): Promise<void> => {
    if ((await beginning) === undefined) await act();
  };
  for (const signal of ['SIGUSR2', ...(onTerminal ? [] : ['SIGHUP'])])
    process.on(signal, () => void onceBegun(() => supervision.restart()));
  void onceBegun(() => log.info('every worker serves', { workers: count }));
  const failed = await Promise.race([beginning, stopping.told]);
  if (failed !== undefined) return failed;
  await stopping.told;
  await supervision.stop(stopping.hurry);
  log.info('every worker has ended');
  return 0;
}

class Supervision {
  readonly #options: WorkersOptions;
  readonly #places: readonly Place[];
  #stopping = false;
  readonly #waits = new AbortController();
  #restarting = false;
  #restarts = 0;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#places = Array.from({ length: options.count }, () => ({ worker: undefined, failures: 0 }));
  }

  /** The first alone: it migrates, and finds what is wrong with the settings. @returns how it ended, if it never served */
  async begin(): Promise<number | undefined> {
    const [first, ...rest] = this.#places;
    const worker = this.#start();
    if (!(await worker.serves)) return worker.process.process.exitCode ?? 1;
    this.#put(first as Place, worker);
    await Promise.all(rest.map((place) => this.#fill(place)));
    return undefined;
  }

  #start(): Started {
    const child = cluster.fork();
    const ended = new Promise<string>((resolve) => child.once('exit', (code, signal) => resolve(signal ?? String(code))));
    const ready = new Promise<true>((resolve) => child.on('message', (message) => isTold(message, 'ready') && resolve(true)));
    const serves = Promise.race([ready, ended.then(() => false)]);
    return { process: child, since: performance.now(), ended, serves, leaving: false };
  }

  #put(place: Place, worker: Started): void {
    place.worker = worker;
    this.#options.log.info('a worker serves', { worker: worker.process.id, pid: worker.process.process.pid });
    void worker.ended.then((how) => {
      if (worker.leaving || this.#stopping) return;
      if (performance.now() - worker.since > longLife) place.failures = 0;
      this.#options.log.error('a worker ended, and is replaced', { worker: worker.process.id, how });
      place.worker = undefined;
      void this.#fill(place);
    });
  }

  /** Starts one until it serves. */
  async #fill(place: Place): Promise<void> {
    while (!this.#stopping && place.worker === undefined) {
      if (place.failures++ > 0) await this.#pause(Math.min(longestWait, shortestWait * 2 ** (place.failures - 2)));
      if (this.#stopping) return;
      const worker = this.#start();
      place.worker = worker;
      if (await worker.serves) return this.#put(place, worker);
      place.worker = undefined;
      if (!this.#stopping)
        this.#options.log.error('a worker ended before it served', { worker: worker.process.id, how: await worker.ended });
    }
  }

  /** Ends early when everything is to end. */
  async #pause(milliseconds: number): Promise<void> {
    this.#options.log.info('a worker is started after a wait', { ms: milliseconds });
    await sleep(milliseconds, undefined, { signal: this.#waits.signal }).catch(() => {});
  }

  /** Each new one serves before the old one is told to end, and the next follows when that has ended. */
  async restart(): Promise<void> {
    if (this.#restarting || this.#stopping) return;
    this.#restarting = true;
    const { log, restarted } = this.#options;
    log.info('restarting the workers one by one');
    const problem = await this.#replaceAll();
    this.#restarting = false;
    if (this.#stopping) return;
    if (problem === undefined) log.info('every worker was restarted');
    else log.error('the workers were not restarted', { problem });
    restarted(++this.#restarts, problem);
  }

  async #replaceAll(): Promise<string | undefined> {
    for (const place of this.#places) {
      const old = place.worker;
      if (this.#stopping || old === undefined) continue;
      const worker = this.#start();
      if (!(await worker.serves)) return 'the new one ended before it served; the others stay';
      // It may have ended, and been replaced, meanwhile.
      if (place.worker !== old || this.#stopping) {
        await this.#end(worker);
        continue;
      }
      old.leaving = true;
      this.#put(place, worker);
      await this.#end(old);
    }
    return undefined;
  }

  /** Told that another took its place; killed when it takes far too long. */
  async #end(worker: Started): Promise<void> {
    worker.leaving = true;
    if (worker.process.isConnected()) worker.process.send({ gatehouse: 'replaced' } satisfies Told);
    await this.#gone(worker);
  }

  async #gone(worker: Started): Promise<void> {
    const kill = setTimeout(() => worker.process.process.kill('SIGKILL'), this.#options.deadline + patience);
    await worker.ended;
    clearTimeout(kill);
  }

  async stop(hurry: AbortSignal): Promise<void> {
    this.#stopping = true;
    this.#waits.abort();
    const all = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    const tell = () => {
      for (const { process } of all) process.kill('SIGTERM');
    };
    tell();
    hurry.addEventListener('abort', tell, { once: true });
    await Promise.all(
      all.map(async (worker) => {
        const kill = setTimeout(() => worker.process.kill('SIGKILL'), this.#options.deadline + patience);
        if (!worker.isDead()) await new Promise((resolve) => worker.once('exit', resolve));
        clearTimeout(kill);
      }),
    );
  }
}
