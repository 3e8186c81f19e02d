import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCli, type ServeOptions } from '#cli';
import { readSettings, trySettings } from '#config';
import { settingFault, systemClock } from '#kernel';
import { installationCommands, migrateCommand } from './installation.ts';
import { createLog } from './log.ts';

// `gatehouse log | head`: whoever reads our output may stop.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')) as { readonly version: string };

const { env } = process;

/** The settings of a server. @throws {Fault} `invalid_setting` that says everything that is wrong with them */
async function readToServe({ envFile, dev, workers }: Omit<ServeOptions, 'ready'>) {
  const tried = trySettings({ env, envFile, aliases: true });
  const { allProblems } = await import('./problems.ts');
  const problems = await allProblems(tried, { env, dev, workers: workers ?? tried.settings.workers });
  if (Object.keys(problems).length > 0) throw settingFault(problems);
  return tried;
}

const program = join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'gatehouse.ts' : 'gatehouse.js');

const ground = { env, clock: systemClock, version };

/** The server's rooms load only when a server is asked for: most commands need none of them. */
const cli = createCli({
  io: { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env, cwd: process.cwd() },
  clock: systemClock,
  version,
  bin: {
    self: [process.execPath, ...process.execArgv, '--disable-sigusr1', program],
    readSettings: ({ for: reader, envFile }) => readSettings({ env, envFile, aliases: reader === 'server' }),
    checkSettings: (options) => readToServe({ ...options, dev: false }),
    redisAcl: async (prefix) => (await import('#store')).redisAcl(prefix),
    installation: installationCommands(ground),
    migrate: (options) => migrateCommand(ground, options),
    async databaseWarnings() {
      const { databaseOf } = await import('./places.ts');
      const { database } = databaseOf(readSettings({ env, aliases: true }).settings);
      return database === undefined ? undefined : await (await import('#store')).inspectDatabase(database);
    },
    async serve(options) {
      const { settings, notices } = await readToServe(options);
      const count = options.workers ?? settings.workers;
      const { thisWorker } = await import('./workers.ts');
      const worker = thisWorker(count);
      const plain = createLog(settings.logLevel, process.stdout);
      const log = worker === undefined ? plain : plain.child({ worker: worker.id });
      if (worker === undefined || worker.id === 1) for (const notice of notices) log.warn(notice);
      if (count > 1 && worker === undefined) {
        const { keepService } = await import('./service.ts');
        return await keepService({ settings, env, log, count, program });
      }
      const { serve } = await import('./serve.ts');
      return serve(options, { settings, env, clock: systemClock, log, version, out: process.stdout, worker });
    },
  },
});

const code = await cli.run(process.argv.slice(2));
// The line to whoever keeps workers would hold this process.
if (process.channel !== undefined && process.channel !== null) process.exit(code);
process.exitCode = code;
