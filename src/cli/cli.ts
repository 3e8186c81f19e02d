import { Command, CommanderError } from 'commander';
import type { CommandHost } from './command.ts';
import { agentCommands } from './commands/agent.ts';
import { backupCommands } from './commands/backup.ts';
import { clientCommands } from './commands/client.ts';
import { configCommands } from './commands/config.ts';
import { connectionCommands } from './commands/connections.ts';
import { databaseCommands } from './commands/database.ts';
import { detailsTypeCommands } from './commands/details-type.ts';
import { doctorCommand } from './commands/doctor.ts';
import { grantCommands } from './commands/grant.ts';
import { importCommands } from './commands/import.ts';
import { initCommand } from './commands/init.ts';
import { issuerKeyCommands } from './commands/issuer-keys.ts';
import { keyCommands } from './commands/keys.ts';
import { livesCommands } from './commands/lives.ts';
import { logCommands } from './commands/log.ts';
import { loginCommands } from './commands/login.ts';
import { migrateCommands } from './commands/migrate.ts';
import { organizationCommands } from './commands/organization.ts';
import { pauseCommands } from './commands/pause.ts';
import { policyCommands } from './commands/policy.ts';
import { providerCommands } from './commands/provider.ts';
import { registrationTokenCommands } from './commands/registration-token.ts';
import { resourceCommands } from './commands/resource.ts';
import { runCommands } from './commands/run.ts';
import { serverCommands } from './commands/server.ts';
import { serviceCommands } from './commands/service.ts';
import { sessionCommands } from './commands/session.ts';
import { trustCommands } from './commands/trust.ts';
import { upstreamCommands } from './commands/upstream.ts';
import { vaultCommands } from './commands/vault.ts';
import { whoamiCommand } from './commands/whoami.ts';
import type { Cli, CliDeps } from './contract.ts';

/** Families of commands under the headings of the help page, in its order. */
const families = {
  'Running agents:': [
    initCommand,
    runCommands,
    loginCommands,
    connectionCommands,
    agentCommands,
    policyCommands,
    providerCommands,
    importCommands,
  ],
  'Signing people in and issuing tokens:': [
    upstreamCommands,
    clientCommands,
    registrationTokenCommands,
    resourceCommands,
    detailsTypeCommands,
    trustCommands,
    livesCommands,
    grantCommands,
    sessionCommands,
    organizationCommands,
    issuerKeyCommands,
  ],
  'Looking:': [logCommands, whoamiCommand, doctorCommand],
  'The installation:': [
    serverCommands,
    serviceCommands,
    databaseCommands,
    vaultCommands,
    backupCommands,
    pauseCommands,
    migrateCommands,
    keyCommands,
    configCommands,
  ],
};

/** Builds the command line. @example const code = await createCli(deps).run(process.argv.slice(2)); */
export function createCli(deps: CliDeps): Cli {
  return Object.freeze({
    async run(parameters: readonly string[]) {
      let code = 0;
      const finish = (given: number) => {
        code = given;
      };
      try {
        await programOf({ deps, finish }).parseAsync([...parameters], { from: 'user' });
      } catch (error) {
        if (!(error instanceof CommanderError)) throw error;
        // 0: help or version was asked for. Anything else was already said.
        code = error.exitCode === 0 ? 0 : 1;
      }
      return code;
    },
  });
}

function programOf(host: CommandHost): Command {
  const { io, version } = host.deps;
  const program = new Command('gatehouse')
    .description('runs agents that are handed no secret')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show how it is used')
    .enablePositionalOptions()
    .showHelpAfterError('add --help to see how it is used')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
    })
    .addHelpText('after', '\nexample:\n  gatehouse init && gatehouse login github && gatehouse run -- python agent.py');
  for (const [heading, group] of Object.entries(families)) {
    program.commandsGroup(heading);
    for (const family of group) family(program, host);
  }
  return program;
}
