import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { Fault } from '#kernel';

/** Signals that are handed on. SIGINT and SIGQUIT come to the program from the terminal itself. */
const handedOn: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGCONT'];
const fromTerminal: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];

export interface ProgramInput {
  readonly command: string;
  readonly parameters: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** The program shares our terminal, which sends it SIGINT itself. */
  readonly terminal: boolean;
  readonly onStart?: (pid: number) => void;
}

/** Runs the program with our own standard streams. Resolves with its exit code, or 128 and the number of the signal that ended it. */
export function runProgram(input: ProgramInput): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(input.command, [...input.parameters], { stdio: 'inherit', env: input.env, cwd: input.cwd });
    const stop = handSignals(input.terminal, (signal) => child.kill(signal));
    child.once('spawn', () => input.onStart?.(child.pid as number));
    child.once('error', (cause) => {
      stop();
      reject(cannotStart(cause));
    });
    child.once('exit', (code, signal) => {
      stop();
      resolve(exitCodeOf(code, signal));
    });
  });
}

/** Passes signals on until told to stop. What the terminal sends to everybody is only kept from ending us. */
export function handSignals(terminal: boolean, pass: (signal: NodeJS.Signals) => void): () => void {
  const handlers = [
    ...handedOn.map((signal) => [signal, () => pass(signal)] as const),
    ...fromTerminal.map((signal) => [signal, terminal ? () => undefined : () => pass(signal)] as const),
  ];
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return signal === null ? (code ?? 1) : 128 + constants.signals[signal];
}

/** 127 and 126, as shells say: not found, not executable. */
export class CannotStart extends Error {
  readonly exitCode: 126 | 127;
  constructor(exitCode: 126 | 127, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

function cannotStart(cause: NodeJS.ErrnoException): Error {
  if (cause.code === 'ENOENT') return new CannotStart(127, 'the program was not found');
  if (cause.code === 'EACCES') return new CannotStart(126, 'the program may not be started');
  return new Fault('internal', { cause });
}
