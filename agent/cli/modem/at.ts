import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { formatError, printable } from '../../../shared/cli.js';
import { isSupersimError } from '../../../shared/errors.js';
import { configOptions } from '../../config/flags.js';
import { controlOptions } from '../control-output.js';
import { runConsole } from './console.js';
import { type AtLine, checkedCommand, formatAnswer, isSuccess, openLine } from './line.js';
import { baudSchema, portOptions } from './options.js';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;

const flags = z.object({
  commands: z.array(z.string()).default([]),
  path: z.string().min(1).optional(),
  baud: baudSchema.optional(),
  config: z.string().optional(),
  socket: z.string().min(1).optional(),
});

/** `supersim-agent modem at`. */
export const atCommand: CommandModule = {
  command: 'at [commands..]',
  describe:
    'Send AT commands to the modem in order and print the responses; without commands, start a console. ' +
    'Uses the running agent if it has the modem open, else the serial port. ' +
    'Exit code: 0 if all commands ended with OK, else 1',
  builder: (yargs) =>
    yargs
      .positional('commands', { type: 'string', array: true, describe: 'AT commands such as AT+CSQ, each in quotes' })
      .options({ ...portOptions, ...configOptions, socket: controlOptions.socket }),
  async handler(argv) {
    try {
      const wanted = checkInput(flags, argv, 'the arguments');
      const commands = wanted.commands.map(checkedCommand);
      const line = await openLine(wanted);
      try {
        const good = commands.length > 0 ? await runAll(line, commands) : await runConsole(line);
        if (!good) process.exitCode = EXIT_ERROR;
      } finally {
        await line.close();
      }
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exitCode = isSupersimError(error, 'bad-input') ? EXIT_USAGE : EXIT_ERROR;
    }
  },
};

/** @returns whether all commands ended with OK */
async function runAll(line: AtLine, commands: readonly string[]): Promise<boolean> {
  let good = true;
  for (const command of commands) {
    if (commands.length > 1) process.stdout.write(`${printable(command)}\n`);
    const lines = await line.run(command);
    process.stdout.write(formatAnswer(lines));
    good &&= isSuccess(lines);
  }
  return good;
}
