import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { durationSchema, milliseconds } from '../../../shared/duration.js';
import { watchCommands } from '../../replies/watch.js';
import { type CliIo, print, processIo } from '../io.js';
import { commonOptions, commonSchema, openClient } from '../options.js';
import { untilInterrupted } from '../until-interrupted.js';
import { jsonLine, tableHead, tableRow } from './table.js';

const DEFAULT_INTERVAL = '5s';

const argsSchema = commonSchema.extend({
  sim: z.string().optional(),
  interval: durationSchema('1s', '1h').default(DEFAULT_INTERVAL),
});

export const watchCommand: CommandModule<object, object> = {
  command: 'watch',
  describe: 'Print what devices send from now on, until Ctrl-C',
  builder: (yargs) =>
    yargs.options({
      sim: { type: 'string', requiresArg: true, describe: 'Only of this SIM: its SID or unique name' },
      interval: {
        type: 'string',
        default: DEFAULT_INTERVAL,
        requiresArg: true,
        describe: 'Time between two polls, from 1s to 1h',
      },
      ...commonOptions,
    }),
  handler: (argv) => untilInterrupted((signal) => watch(argv, processIo(), signal)),
};

/** `supersim watch`, until the signal is aborted. */
export async function watch(argv: unknown, io: CliIo, signal: AbortSignal): Promise<void> {
  const { sim, interval, json, profile } = checkInput(argsSchema, argv, 'the arguments');
  const client = await openClient({ profile, signal }, io);
  const options = {
    sim,
    interval: milliseconds(interval),
    signal,
    sleep: io.sleep,
    ready: () => io.stderr.write('watching; Ctrl-C stops\n'),
    warn: (message: string) => io.stderr.write(`warning: ${printable(message)}\n`),
  };
  if (!json) await print(io.stdout, tableHead());
  for await (const command of watchCommands(client, options)) {
    await print(io.stdout, json ? jsonLine(command) : tableRow(command));
  }
}
