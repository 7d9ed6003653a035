import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { commandsCommand } from '../agent/cli/commands.js';
import { configCommand } from '../agent/cli/config.js';
import { doctorCommand } from '../agent/cli/doctor.js';
import { logLevelCommand } from '../agent/cli/log-level.js';
import { metricsCommand } from '../agent/cli/metrics.js';
import { modemCommand } from '../agent/cli/modem/modem.js';
import { reloadCommand } from '../agent/cli/reload.js';
import { runCommand } from '../agent/cli/run/run.js';
import { secureCommand } from '../agent/cli/secure/secure.js';
import { sendCommand } from '../agent/cli/send.js';
import { statusCommand } from '../agent/cli/status.js';
import { tryCommand } from '../agent/cli/try.js';
import { runCli } from './run-cli.js';

/** All of `supersim-agent`'s commands. */
export const runAgentCli = (): Promise<void> =>
  runCli(
    yargs(hideBin(process.argv))
      .scriptName('supersim-agent')
      .usage('$0 <command>\n\nRuns commands that reach this device as Super SIM IP Commands.')
      .command(runCommand)
      .command(tryCommand)
      .command(configCommand)
      .command(reloadCommand)
      .command(logLevelCommand)
      .command(statusCommand)
      .command(doctorCommand)
      .command(secureCommand)
      .command(commandsCommand)
      .command(sendCommand)
      .command(metricsCommand)
      .command(modemCommand),
  );
