// Spawns a program, forwards signals to it, and ends as it ended.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];

/** A terminal sends these to the program as well: handed on, the second would end it in the middle of its own ending. */
const fromTerminal = [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY) ? ['SIGINT', 'SIGQUIT'] : [];

/** Resolves with the exit code: the child's own, or 128 and the signal's number. */
export function forward(command, parameters, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, { stdio: 'inherit', env });
    const handlers = forwarded.map((signal) => [signal, () => fromTerminal.includes(signal) || child.kill(signal)]);
    for (const [signal, handler] of handlers) process.on(signal, handler);
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      for (const [name, handler] of handlers) process.off(name, handler);
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
    });
  });
}
