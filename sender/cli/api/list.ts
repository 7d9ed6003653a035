import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { DIRECTIONS, STATUSES } from '../../../shared/ip-command.js';
import { type CliIo, print, processIo } from '../io.js';
import { commonOptions, commonSchema, openClient } from '../options.js';
import { fitRow, jsonLine, tableHead, tableRow } from './table.js';

const DEFAULT_LIMIT = 50;

const argsSchema = commonSchema.extend({
  sim: z.string().optional(),
  status: z.enum(STATUSES).optional(),
  direction: z.enum(DIRECTIONS).optional(),
  limit: z.number().default(DEFAULT_LIMIT),
});

export const listCommand: CommandModule<object, object> = {
  command: 'list',
  describe: 'List IP Commands, newest first',
  builder: (yargs) =>
    yargs
      .options({
        sim: { type: 'string', requiresArg: true, describe: 'Only of this SIM: its SID or unique name' },
        status: { choices: STATUSES, requiresArg: true, describe: 'Only with this status' },
        direction: { choices: DIRECTIONS, requiresArg: true, describe: 'Only to_sim or only from_sim commands' },
        limit: { type: 'number', default: DEFAULT_LIMIT, requiresArg: true, describe: 'Most IP Commands to list' },
        ...commonOptions,
      })
      .example('$0 list --sim gateway-1 --direction from_sim', 'What a device sent'),
  handler: (argv) => list(argv, processIo()),
};

/** `supersim list`. */
export async function list(argv: unknown, io: CliIo): Promise<void> {
  const { json, profile, ...params } = checkInput(argsSchema, argv, 'the arguments');
  const client = await openClient({ profile }, io);
  const row = (text: string) => print(io.stdout, fitRow(text, io.stdout));
  let headed = json;
  for await (const command of client.list(params)) {
    if (!headed) await row(tableHead());
    headed = true;
    await (json ? print(io.stdout, jsonLine(command)) : row(tableRow(command)));
  }
  if (!headed) await row(tableHead());
}
