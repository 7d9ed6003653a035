import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { durationSchema, milliseconds } from '../../../shared/duration.js';
import { toJson } from '../../../shared/format/value.js';
import { type IpCommand, payloadBytes } from '../../../shared/ip-command.js';
import { type ReadDatagram, readDatagram, simNamesOf } from '../../listen/event.js';
import { describe, describeAuthenticity } from '../../listen/print.js';
import { watchCommands } from '../../replies/watch.js';
import type { OpenDatagram } from '../../security/events.js';
import { openSecurity } from '../../security/security.js';
import { type CliIo, print, processIo } from '../io.js';
import { commonOptions, commonSchema, openClient } from '../options.js';
import { untilInterrupted } from '../until-interrupted.js';
import { showPayload } from './payload.js';
import { openedRow, tableHead } from './table.js';

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
  const security = openSecurity({ profile, env: io.env });
  security.check();
  const options = {
    sim,
    interval: milliseconds(interval),
    signal,
    sleep: io.sleep,
    ready: () => io.stderr.write('watching; Ctrl-C stops\n'),
    warn: (message: string) => io.stderr.write(`warning: ${printable(message)}\n`),
  };
  try {
    if (!json) await print(io.stdout, tableHead());
    for await (const command of watchCommands(client, options)) {
      await print(io.stdout, (json ? jsonLine : row)(command, openCommand(command, security.openDatagram)));
    }
  } finally {
    security.close();
  }
}

/** Takes nothing away from who reports events. */
function openCommand(command: IpCommand, openDatagram: OpenDatagram): ReadDatagram {
  const payload = payloadBytes(command);
  const opened = openDatagram(simNamesOf(command), payload, 'look');
  return readDatagram(payload, opened.kind === 'repeat' ? undefined : opened);
}

/** Formats what is authentic decoded, and anything else as it came. */
function row(command: IpCommand, datagram: ReadDatagram): string {
  const payload = datagram.authentic === true ? printable(describe(datagram)) : showPayload(command);
  return openedRow(command, `${payload}${describeAuthenticity(datagram)}`);
}

/** Formats the command as the API returned it, with members about its datagram; safe for a terminal. */
function jsonLine(command: IpCommand, { authentic, fresh, deviceId, reason, ...datagram }: ReadDatagram): string {
  const opened = authentic === true ? datagram : undefined;
  return printable(toJson({ ...command, authentic, fresh, deviceId, reason, opened }));
}
