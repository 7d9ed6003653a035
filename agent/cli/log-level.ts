import type { CommandModule } from 'yargs';
import type * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { printable } from '../../shared/cli.js';
import { LOG_LEVELS } from '../config/schema.js';
import { logLevelAnswerSchema, logLevelSchema } from '../service/control/schema.js';
import { controlOptions, printAnswer } from './control-output.js';

/** `supersim-agent loglevel`. */
export const logLevelCommand: CommandModule = {
  command: 'loglevel [level]',
  describe: 'Show the running agent’s log level, or set it until the next reload or restart',
  builder: (yargs) =>
    yargs.options(controlOptions).positional('level', { type: 'string', describe: LOG_LEVELS.join(', ') }),
  handler: (argv) =>
    printAnswer(argv, async (ask) => {
      const level = checkInput(logLevelSchema.optional(), argv['level'], 'the level');
      const answer =
        level === undefined
          ? await ask('GET', '/loglevel', logLevelAnswerSchema)
          : await ask('PUT', `/loglevel?level=${level}`, logLevelAnswerSchema);
      return { answer, text: formatLevel(answer) };
    }),
};

function formatLevel({ level, configured }: z.output<typeof logLevelAnswerSchema>): string {
  const until = level === configured ? '' : `, until the next reload or restart; the configuration has ${configured}`;
  return printable(`The log level is ${level}${until}.`);
}
