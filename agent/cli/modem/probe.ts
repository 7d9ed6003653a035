import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { formatError, printable } from '../../../shared/cli.js';
import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import { formatHolder } from '../../base/file-holders.js';
import { explainCmeError } from '../../transport/modem/console/cme-errors.js';
import {
  type PortKind,
  type PortProbe,
  type ProbedModem,
  type ProbedPort,
  probePorts,
} from '../../transport/modem/console/probe.js';
import { findPorts } from '../../transport/modem/port/find-ports.js';
import { simAdvice } from '../../transport/modem/scripts/sim.js';
import { listing } from '../control-output.js';
import { baudSchema, DEFAULT_BAUD, portOptions } from './options.js';

const EXIT_NO_MODEM = 1;
const EXIT_USAGE = 2;

const flags = z.object({
  path: z.string().min(1).optional(),
  baud: baudSchema.default(DEFAULT_BAUD),
  json: z.boolean().default(false),
});

/** `supersim-agent modem probe`. */
export const probeCommand: CommandModule = {
  command: 'probe',
  describe:
    'Find the serial port that accepts AT commands, and show the modem, SIM and network. ' +
    'Exit code: 0 if the agent can use the modem, else 1',
  builder: (yargs) =>
    yargs.options({
      ...portOptions,
      json: { type: 'boolean', describe: 'Print the result as JSON, on one line' },
    }),
  async handler(argv) {
    try {
      const { path, baud, json } = checkInput(flags, argv, 'the arguments');
      const found = path === undefined ? await search(baud) : await probePorts([path], baud);
      process.stdout.write(`${json ? printable(JSON.stringify(toJson(found))) : format(found)}\n`);
      const error = problemOf(found);
      if (error === undefined) return;
      process.stderr.write(formatError(error));
      process.exitCode = EXIT_NO_MODEM;
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exitCode = isSupersimError(error, 'bad-input') ? EXIT_USAGE : EXIT_NO_MODEM;
    }
  },
};

/** Tries ports with persistent names first, and others only if none of those accepts AT commands. */
async function search(baud: number): Promise<PortProbe> {
  const [named, others] = await findPorts();
  const first = await probePorts(named, baud);
  if (first.ports.some(({ kind }) => kind === 'at')) return first;
  const second = await probePorts(others, baud);
  return { ...second, ports: [...first.ports, ...second.ports] };
}

const KINDS: Readonly<Record<Exclude<PortKind, 'unusable'>, string>> = {
  at: 'accepts AT commands',
  nmea: 'NMEA (GNSS positions)',
  diag: 'diagnostics',
  other: 'other data, or another speed',
  silent: 'no response',
};

function format({ ports, modem }: PortProbe): string {
  if (ports.length === 0) return 'No serial port found.';
  const parts = [listing(ports.map((port) => [port.path, formatPort(port)]))];
  if (modem !== undefined) parts.push(listing(modemRows(modem)));
  if (modem?.dialect !== undefined)
    parts.push(`For the agent’s configuration:\nmodem:\n  path: ${printable(modem.path)}`);
  return parts.join('\n\n');
}

function formatPort({ kind, error, holders = [] }: ProbedPort): string {
  if (kind !== 'unusable') return KINDS[kind];
  if (holders.length > 0) return `in use by ${holders.map(formatHolder).join(', ')}`;
  return error?.message ?? 'not usable';
}

function modemRows(modem: ProbedModem): [string, string][] {
  const { model, firmware, imei, dialect, unsupported, sim, iccid, registration, attached } = modem;
  return [
    ['modem', `${model}, firmware ${firmware}, IMEI ${imei}`],
    ['dialect', dialect ?? `none: ${unsupported}`],
    [
      'SIM',
      [explainCmeError(sim), iccid === undefined ? undefined : `ICCID ${iccid}`, simAdvice(sim)]
        .filter(Boolean)
        .join(', '),
    ],
    ['registration', `${registration}, ${attached ? 'attached' : 'not attached'}`],
    ['APN', modem.apn ?? 'none'],
    ['operator', modem.operator ?? 'none'],
    ['signal', modem.signalDbm === undefined ? 'unknown' : `${modem.signalDbm} dBm`],
    ['address', modem.address ?? 'none'],
  ];
}

function toJson({ ports, modem }: PortProbe): object {
  return {
    ports: ports.map(({ error, ...port }) => ({
      ...port,
      ...(error !== undefined && { error: { code: error.code, message: error.message, remedy: error.remedy } }),
    })),
    ...(modem !== undefined && { modem }),
  };
}

/** Returns why the agent can use no modem, preferring reasons that the user can fix. */
function problemOf({ ports, modem }: PortProbe): SupersimError | undefined {
  if (modem?.dialect !== undefined) return undefined;
  if (modem !== undefined) return new SupersimError('modem-unknown', modem.unsupported ?? '');
  const errors = ports.flatMap(({ error }) => error ?? []);
  for (const code of ['modem-port-busy', 'modem-port-forbidden'] as const) {
    const error = errors.find((one) => isSupersimError(one, code));
    if (error !== undefined) return error;
  }
  const [first] = errors;
  if (first !== undefined && errors.length === ports.length) return first;
  if (ports.length === 0) return new SupersimError('modem-port-missing', 'no serial port found');
  return new SupersimError('modem-silent', `no response to AT on ${ports.map(({ path }) => path).join(', ')}`, {
    remedy:
      'Check the modem’s power. For a HAT on the GPIO pins set its speed with `--baud`, and disable the login console.',
  });
}
