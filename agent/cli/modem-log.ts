import { setTimeout as pause } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { formatError } from '../../shared/cli.js';
import { isSupersimError } from '../../shared/errors.js';
import { defaultControlSocket, modemLogSchema, modemSchema } from '../service/control-schema.js';
import { DIALECT_NAMES, DIALECTS } from '../transport/modem/dialects.js';
import { createPayloadMask } from '../transport/modem/payload-mask.js';
import { type Ask, controlClient } from './control-client.js';
import { checkArgument, controlOptions } from './control-output.js';

const FOLLOW_INTERVAL_MS = 300;
const EXIT_ERROR = 1;
const EXIT_USAGE = 2;

const flags = z.object({
  socket: z.string().min(1).optional(),
  follow: z.boolean().default(false),
  payloads: z.boolean().default(false),
});

/** `supersim-agent modem log`. */
export const logCommand: CommandModule = {
  command: 'log',
  describe:
    'Print what the agent that runs and its modem said to each other last, as JSON lines { "t": ms, "dir": "tx" | "rx", "hex": "…" }. ' +
    'Each byte of a payload, and of the PIN, is shown as 46, so that `modem replay` still reads it',
  builder: (yargs) =>
    yargs.options({
      socket: controlOptions.socket,
      follow: { type: 'boolean', describe: 'Go on as more is said, until it is interrupted' },
      payloads: { type: 'boolean', describe: 'Show the payloads' },
    }),
  async handler(argv) {
    try {
      const { socket, follow, payloads } = checkArgument('the arguments', flags, argv);
      const ask = controlClient(socket ?? defaultControlSocket(process.env));
      await printLog(ask, (line) => process.stdout.write(line), { follow, payloads });
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exitCode = isSupersimError(error, 'bad-input') ? EXIT_USAGE : EXIT_ERROR;
    }
  },
};

type LogRecord = z.output<typeof modemLogSchema>['records'][number];

/** Prints what there is, line by line, and with `follow` goes on. @throws SupersimError */
export async function printLog(
  ask: Ask,
  print: (line: string) => void,
  { follow, payloads } = { follow: false, payloads: false },
): Promise<void> {
  const hide = payloads ? asItIs : await hider(ask);
  for (let after = 0; ; ) {
    const { records } = await ask('GET', `/modem/log?after=${after}`, modemLogSchema);
    for (const record of records) {
      const shown = hide(record, record.n > after + 1);
      after = record.n;
      if (shown !== undefined) print(`${JSON.stringify(shown)}\n`);
    }
    if (records.length > 0) continue;
    if (!follow) return;
    await pause(FOLLOW_INTERVAL_MS);
  }
}

/** @param isGap whether records before it are missing */
type Show = (record: LogRecord, isGap: boolean) => Omit<LogRecord, 'n'> | undefined;

const asItIs: Show = ({ t, dir, hex }) => ({ t, dir, hex });

/** While nobody knows which dialect it is, all are taken for possible. */
async function hider(ask: Ask): Promise<Show> {
  const { dialect } = await ask('GET', '/modem', modemSchema);
  const known = DIALECT_NAMES.filter((name) => name === dialect);
  const mask = createPayloadMask((known.length > 0 ? known : DIALECT_NAMES).map((name) => DIALECTS[name].grammar));
  return ({ t, dir, hex }, isGap) => {
    if (isGap) mask.restart();
    const piece = mask.hide({ at: t, direction: dir, bytes: Buffer.from(hex, 'hex') });
    return piece && { t, dir, hex: piece.bytes.toString('hex') };
  };
}
