import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCli } from '#cli';
import { readSettings } from '#config';
import { systemClock } from '#kernel';
import { createLog } from './log.ts';

// `gatehouse log | head`: whoever reads our output may stop.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')) as { readonly version: string };

function read(envFile: string | undefined, aliases: boolean) {
  return readSettings({ env: process.env, aliases, ...(envFile === undefined ? {} : { envFile }) });
}

/** The server's rooms load only when a server is asked for: most commands need none of them. */
const cli = createCli({
  io: { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: process.env, cwd: process.cwd() },
  clock: systemClock,
  version,
  bin: {
    self: [
      process.execPath,
      ...process.execArgv,
      '--disable-sigusr1',
      join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'gatehouse.ts' : 'gatehouse.js'),
    ],
    readSettings: (options) => read(options.envFile, options.for === 'server'),
    redisAcl: async (prefix) => (await import('#store')).redisAcl(prefix),
    installation: {
      resume: async ({ envFile }) => (await import('./standing.ts')).resume(read(envFile, true).settings, process.env, systemClock),
      pause: async ({ envFile }) => (await import('./standing.ts')).pause(read(envFile, true).settings, process.env, systemClock),
      backup: async (order) => (await import('./backup.ts')).backup(order, read(order.envFile, true).settings, systemClock, version),
      restore: async (order) => (await import('./backup.ts')).restore(order, read(order.envFile, true).settings, process.env, systemClock),
      copy: async (order) => (await import('./moving.ts')).copyTo(order, read(order.envFile, true).settings, systemClock),
    },
    async serve(options) {
      const { settings } = read(options.envFile, true);
      const { serve } = await import('./serve.ts');
      return serve(options, {
        settings,
        env: process.env,
        clock: systemClock,
        log: createLog(settings.logLevel, process.stdout),
        version,
        out: process.stdout,
      });
    },
  },
});

process.exitCode = await cli.run(process.argv.slice(2));
