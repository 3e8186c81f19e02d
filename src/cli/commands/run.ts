import type { Command } from 'commander';
import { Fault } from '#kernel';
import { addCommand, type CommandHost } from '../command.ts';
import { serveEnvironment } from '../run/env.ts';
import { type RunOptions, run } from '../run/run.ts';

interface RunFlags {
  readonly agent?: string;
  readonly connection: readonly string[];
  readonly pass: readonly string[];
  readonly isolate?: boolean;
  readonly as?: string;
  readonly show: readonly string[];
  readonly write: readonly string[];
}

interface EnvFlags extends Pick<RunFlags, 'agent' | 'connection'> {
  readonly format: string;
  readonly listen: string;
  readonly host?: string;
  readonly mount: string;
  readonly output?: string;
}

/** run and env: programs that are handed no secret. */
export function runCommands(program: Command, host: CommandHost): void {
  addCommand<RunFlags>(program, host, {
    usage: 'run <command...>',
    tells: 'run a program whose calls upstream are authenticated, permitted and recorded, and which is handed no secret',
    example: 'gatehouse run -- python agent.py',
    options: [
      ['--agent <name>', 'the agent it runs as'],
      ['--isolate', 'shut it in namespaces of its own, so that it cannot read our files or use your sessions (Linux)'],
      ['--as <user>', 'with --isolate as root: the user it runs as (default nobody)'],
    ],
    lists: [
      ['--connection <provider=name>', 'which connection of a provider it uses'],
      ['--pass <name>', 'keep one variable that looks like a secret; this is recorded'],
      ['--show <path>', 'with --isolate: let it read this too'],
      ['--write <path>', 'with --isolate: let it write to this too'],
    ],
    insideRun: true,
    passThrough: true,
    more: 'its exit code is that of the program; 128 and more: the program was ended by a signal',
    action: (context, given, flags) => run(context, commandOf(given), optionsOf(flags)),
  });
  addCommand<EnvFlags>(program, host, {
    usage: 'env',
    tells: 'start a forwarder for programs that cannot be started by run (in containers) and print their environment',
    example: 'gatehouse env --format docker --listen 172.17.0.1:7400 --mount /gatehouse --output agent.env',
    options: [
      ['--agent <name>', 'the agent they run as'],
      ['--format <format>', 'shell, docker (an --env-file) or k8s (ConfigMap and Secret)', 'shell'],
      ['--listen <address>', 'where the forwarder listens; the address containers reach it by', '127.0.0.1:0'],
      ['--host <name>', 'how containers name the forwarder (default: the address it listens on)'],
      ['--mount <folder>', 'where the folder with the authorities will be in the container (default: where it is)', ''],
      ['--output <file>', 'write the environment to this file (0600) instead of standard output'],
    ],
    lists: [['--connection <provider=name>', 'which connection of a provider they use']],
    more: 'the forwarder lives until this command is interrupted, and its run ends with it; the credential printed is good at this forwarder only',
    action: (context, _given, flags) =>
      serveEnvironment(context, {
        ...flags,
        connections: connectionsOf(flags.connection),
        listen: addressOf(flags.listen),
      }),
  });
}

function commandOf(given: readonly string[]): readonly [string, ...string[]] {
  const [program, ...parameters] = given[0] === '--' ? given.slice(1) : given;
  if (program === undefined) throw new Fault('invalid_usage', { hint: 'name a program: gatehouse run -- python agent.py' });
  return [program, ...parameters];
}

function optionsOf(flags: RunFlags): RunOptions {
  const { agent, as, pass, show, write } = flags;
  return {
    ...(agent === undefined ? {} : { agent }),
    ...(as === undefined ? {} : { as }),
    connections: connectionsOf(flags.connection),
    pass,
    isolate: flags.isolate === true,
    show,
    write,
  };
}

function connectionsOf(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, provider, name] = /^([^=/]+)[=/](.+)$/.exec(pair) ?? [];
      if (provider === undefined || name === undefined) throw new Fault('invalid_usage', { hint: 'write --connection provider=name' });
      return [provider, name];
    }),
  );
}

function addressOf(text: string): { readonly host: string; readonly port: number } {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535)
    throw new Fault('invalid_usage', { hint: 'write --listen address:port, for example 172.17.0.1:7400' });
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}
