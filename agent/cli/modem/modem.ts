import type { CommandModule } from 'yargs';
import { formatError } from '../../../shared/cli.js';
import { isSupersimError } from '../../../shared/errors.js';
import { DIALECT_NAMES, type DialectName } from '../../config/dialect-names.js';
import { atCommand } from './at.js';
import { logCommand } from './log.js';
import { probeCommand } from './probe.js';
import { replay } from './replay.js';

const EXIT_DISCARDED = 1;
const EXIT_UNREADABLE = 2;

const replayCommand: CommandModule<unknown, { dialect: DialectName; file?: string | undefined }> = {
  command: 'replay <file>',
  describe:
    'Parse a log of AT traffic and print the events that the agent recognises. ' +
    'Exit code: 0 if all bytes were recognised, 1 if bytes were discarded, 2 if the log cannot be read',
  builder: (yargs) =>
    yargs
      .positional('file', {
        type: 'string',
        describe: 'JSON lines { "t": ms, "dir": "tx" | "rx", "hex": "…" }; - for standard input',
      })
      .options({ dialect: { choices: DIALECT_NAMES, demandOption: true, describe: 'AT dialect of the modem' } }),
  async handler({ dialect, file }) {
    try {
      // yargs passes a lone `-` as an empty string.
      const clean = await replay(dialect, file || '-', (line) => process.stdout.write(line));
      if (!clean) process.exitCode = EXIT_DISCARDED;
    } catch (error) {
      if (!isSupersimError(error, 'bad-input')) throw error;
      process.stderr.write(formatError(error));
      process.exitCode = EXIT_UNREADABLE;
    }
  },
};

/** `supersim-agent modem`. */
export const modemCommand: CommandModule = {
  command: 'modem <action>',
  describe: 'Find, query and trace the modem',
  builder: (yargs) =>
    yargs.command(probeCommand).command(atCommand).command(logCommand).command(replayCommand).demandCommand(1),
  handler: () => undefined,
};
