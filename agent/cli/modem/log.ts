import { setTimeout as pause } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { formatError } from '../../../shared/cli.js';
import { isSupersimError } from '../../../shared/errors.js';
import { type Ask, controlClient } from '../../service/control/client.js';
import { defaultControlSocket, modemLogSchema, modemSchema } from '../../service/control/schema.js';
import { createPayloadMask } from '../../transport/modem/console/payload-mask.js';
import { DIALECT_NAMES, DIALECTS } from '../../transport/modem/dialects/index.js';
import { controlOptions } from '../control-output.js';

const FOLLOW_INTERVAL_MS = 300;
const RETURN_INTERVAL_MS = 1000;
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
    'Each byte of a payload is shown as 46, each digit of a PIN as 2a; `modem replay` still reads it',
  builder: (yargs) =>
    yargs.options({
      socket: controlOptions.socket,
      follow: {
        type: 'boolean',
        describe: 'Go on as more is said, also after a restart of the agent, until it is interrupted',
      },
      payloads: { type: 'boolean', describe: 'Show the payloads' },
    }),
  async handler(argv) {
    try {
      const { socket, follow, payloads } = checkInput(flags, argv, 'the arguments');
      const ask = controlClient(socket ?? defaultControlSocket(process.env));
      await printLog(ask, (line) => process.stdout.write(line), { follow, payloads });
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exitCode = isSupersimError(error, 'bad-input') ? EXIT_USAGE : EXIT_ERROR;
    }
  },
};

type LogRecord = z.output<typeof modemLogSchema>['records'][number];

/**
 * Prints what there is and, where it is followed, what comes, also after a restart of the agent.
 *
 * @throws SupersimError
 */
export async function printLog(
  ask: Ask,
  print: (line: string) => void,
  { follow, payloads } = { follow: false, payloads: false },
): Promise<void> {
  let hide: Show = asItIs;
  let run: string | undefined;
  for (let after = 0; ; ) {
    const patiently = follow && run !== undefined ? untilAnswered : once;
    const answer = await patiently(() => ask('GET', `/modem/log?after=${after}`, modemLogSchema));
    if (answer.run !== run) {
      const isAnother = run !== undefined;
      run = answer.run;
      if (!payloads) hide = await patiently(() => hider(ask));
      if (isAnother) {
        tell('the agent has restarted, and its log begins anew');
        after = 0;
        continue;
      }
    }
    for (const record of answer.records) {
      const shown = hide(record, record.n > after + 1);
      after = record.n;
      if (shown !== undefined) print(`${JSON.stringify(shown)}\n`);
    }
    if (answer.records.length > 0) continue;
    if (!follow) return;
    await pause(FOLLOW_INTERVAL_MS);
  }
}

const once = <T>(work: () => Promise<T>): Promise<T> => work();

/** Waits for an agent that does not answer any more. */
async function untilAnswered<T>(work: () => Promise<T>): Promise<T> {
  for (let told = false; ; told = true) {
    try {
      return await work();
    } catch (error) {
      if (!isSupersimError(error, 'control-unreachable')) throw error;
      if (!told) tell('the agent does not answer; waiting for it');
      await pause(RETURN_INTERVAL_MS);
    }
  }
}

const tell = (what: string) => void process.stderr.write(`${what}\n`);

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
