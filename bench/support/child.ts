import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';

export const root: string = new URL('../..', import.meta.url).pathname;
/** Node as it runs the sources. */
export const fromSource: readonly string[] = ['--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning'];

export interface Child {
  readonly pid: number;
  /** What it printed first that matches. */
  readonly said: RegExpExecArray;
  stop(): Promise<void>;
}

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/** Waits until somebody listens. */
export async function listening(port: number, patience = 20_000): Promise<void> {
  const end = performance.now() + patience;
  while (!(await answers(port))) {
    if (performance.now() > end) throw new Error(`nobody listens on ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly patience?: number;
}

/** Starts a program and waits until it printed what matches `sign`. */
export async function start(program: string, parameters: readonly string[], sign: RegExp, options: ChildOptions = {}): Promise<Child> {
  const { env = {}, cwd, patience = 60_000 } = options;
  const child = spawn(program, parameters, { env: { PATH: process.env.PATH ?? '', ...env }, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  alive.add(child);
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  void gone.then(() => alive.delete(child));
  const said = await saying(child, sign, patience, program);
  return {
    pid: child.pid as number,
    said,
    async stop() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function saying(child: ChildProcess, sign: RegExp, patience: number, program: string): Promise<RegExpExecArray> {
  let printed = '';
  return new Promise((resolve, reject) => {
    const fail = (what: string) => {
      child.kill('SIGKILL');
      reject(new Error(`${program} ${what}: ${printed.slice(-2_000)}`));
    };
    const timer = setTimeout(() => fail('was not ready in time'), patience);
    child.once('error', reject);
    const ended = () => fail('ended');
    child.once('exit', ended);
    const hear = (part: Buffer): void => {
      printed = (printed + part.toString('utf8')).slice(-20_000);
      const found = sign.exec(printed);
      if (found === null) return;
      clearTimeout(timer);
      child.off('exit', ended);
      resolve(found);
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
  });
}
