import type { Argv } from 'yargs';
import { formatError } from '../shared/cli.js';
import { systemCodeOf } from '../shared/errors.js';
import { VERSION } from '../shared/version.js';
import { type ErrorReport, orExit } from './or-exit.js';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;

/** Runs a command line. An invalid one prints the help and the error, and exits with code 2. */
export async function runCli(commands: Argv, report?: ErrorReport): Promise<void> {
  const cli = commands
    .version(VERSION)
    .help()
    .strict()
    .demandCommand(1, 'Name a command.')
    .recommendCommands()
    .fail((message, error) => {
      if (error) throw error;
      cli.showHelp('error');
      process.stderr.write(`\n${message}\n`);
      process.exit(EXIT_USAGE);
    });
  // The reader closed the pipe early (`supersim loopback | head`).
  process.stdout.on('error', (error) => {
    if (systemCodeOf(error) === 'EPIPE') process.exit(0);
    process.stderr.write(formatError(error));
    process.exit(EXIT_ERROR);
  });
  await orExit(() => cli.parseAsync(), report);
}
