import type { Argv } from 'yargs';
import { systemCodeOf } from '../shared/errors.js';
import { VERSION } from '../shared/version.js';
import { type ErrorReport, orExit } from './or-exit.js';

const EXIT_USAGE = 2;

/** Runs a command line. A wrong one prints its help and what is wrong, and ends with exit code 2. */
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
  // Whoever closes the pipe early (`supersim loopback | head`) has had enough.
  process.stdout.on('error', (error) => {
    if (systemCodeOf(error) === 'EPIPE') process.exit(0);
    throw error;
  });
  await orExit(() => cli.parseAsync(), report);
}
