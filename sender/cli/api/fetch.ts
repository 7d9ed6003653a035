import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { type CliIo, print, processIo } from '../io.js';
import { commonOptions, commonSchema, openClient } from '../options.js';
import { details, jsonLine } from './table.js';

const argsSchema = commonSchema.extend({ sid: z.string() });

export const fetchCommand: CommandModule<object, object> = {
  command: 'fetch <sid>',
  describe: 'Show one IP Command',
  builder: (yargs) =>
    yargs
      .positional('sid', { type: 'string', demandOption: true, describe: 'The IP Command’s SID (HG…)' })
      .options(commonOptions),
  handler: (argv) => fetchOne(argv, processIo()),
};

/** `supersim fetch`. */
export async function fetchOne(argv: unknown, io: CliIo): Promise<void> {
  const { sid, json, profile } = checkInput(argsSchema, argv, 'the arguments');
  const client = await openClient({ profile }, io);
  const command = await client.fetch(sid);
  await print(io.stdout, json ? jsonLine(command) : details(command));
}
