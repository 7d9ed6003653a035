import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { printable } from '../../shared/cli.js';
import { durationSchema, milliseconds } from '../../shared/duration.js';
import { toJson } from '../../shared/format/value.js';
import { DEVICE_PORT } from '../../shared/limits.js';
import { pollingReplies } from '../replies/polling.js';
import { createRequester, DEFAULT_REQUEST_TIMEOUT, REQUEST_FORMATS } from '../request/request.js';
import type { RequestResult } from '../request/result.js';
import type { RequestProgress } from '../request/run-request.js';
import { openSecurity } from '../security/security.js';
import { EXIT_BY_OUTCOME } from './exit.js';
import { type CliIo, print, processIo } from './io.js';
import { commonOptions, commonSchema, openClient } from './options.js';
import { paramsFromArgs } from './params-from-args.js';
import { untilInterrupted } from './until-interrupted.js';

const DEFAULT_INTERVAL = '2s';

const argsSchema = commonSchema.extend({
  sim: z.string().min(1),
  port: z.number().default(DEVICE_PORT),
  name: z.string(),
  words: z.array(z.string()).default([]),
  '--': z.array(z.string()).default([]),
  params: z.string().optional(),
  get: z.boolean().default(false),
  format: z.enum(REQUEST_FORMATS).default('coap'),
  deadline: durationSchema('1s', '24h').optional(),
  timeout: durationSchema('1s', '24h').default(DEFAULT_REQUEST_TIMEOUT),
  interval: durationSchema('1s', '1h').default(DEFAULT_INTERVAL),
});

export const requestCommand: CommandModule<object, object> = {
  command: 'request <name> [words..]',
  describe: 'Run a command on a SIM’s device, and print its outcome',
  builder: (yargs) =>
    yargs
      .positional('name', { type: 'string', demandOption: true, describe: 'The command, such as ping or relay.set' })
      .positional('words', { type: 'string', array: true, describe: 'Its parameters: VALUE or KEY=VALUE' })
      .parserConfiguration({ 'populate--': true, 'parse-positional-numbers': false })
      .options({
        sim: { type: 'string', demandOption: true, requiresArg: true, describe: 'The SIM’s SID or unique name' },
        port: { type: 'number', default: DEVICE_PORT, requiresArg: true, describe: 'UDP port on the device' },
        params: { type: 'string', requiresArg: true, describe: 'The parameters as a JSON object or array' },
        get: { type: 'boolean', describe: 'Send a CoAP GET, for commands that are declared safe' },
        format: {
          choices: REQUEST_FORMATS,
          default: 'coap',
          requiresArg: true,
          describe: 'Format of the command',
        },
        deadline: {
          type: 'string',
          requiresArg: true,
          describe: 'Time from now after which the command must not start, such as 5min',
        },
        timeout: {
          type: 'string',
          default: DEFAULT_REQUEST_TIMEOUT,
          requiresArg: true,
          describe: 'Longest wait for an answer, or for the next block of one',
        },
        interval: {
          type: 'string',
          default: DEFAULT_INTERVAL,
          requiresArg: true,
          describe: 'Time between two polls for the reply, from 1s to 1h',
        },
        ...commonOptions,
      })
      .example('$0 request --sim gateway-1 ping', 'The exit code is the outcome')
      .example(
        '$0 request --sim gateway-1 relay.set channel=1 on=true --deadline 5min',
        'The device must not start it later',
      ),
  handler: (argv) =>
    untilInterrupted(async (signal) => {
      process.exitCode = await request(argv, processIo(), signal);
    }),
};

export interface RequestCliOptions {
  /** Milliseconds between two polls, instead of the argument. */
  readonly interval?: number | undefined;
  readonly timeScale?: number | undefined;
}

/**
 * `supersim request`, until its end or until the signal is aborted.
 *
 * @returns the exit code, by outcome
 */
export async function request(
  argv: unknown,
  io: CliIo,
  signal: AbortSignal,
  { interval, timeScale }: RequestCliOptions = {},
): Promise<number> {
  const args = checkInput(argsSchema, argv, 'the arguments');
  const params = paramsFromArgs(args);
  const client = await openClient({ profile: args.profile }, io);
  const security = openSecurity({ profile: args.profile, env: io.env });
  const replies = pollingReplies(client, { interval: interval ?? milliseconds(args.interval), sleep: io.sleep });
  const { sim, name, get, format, port: devicePort } = args;
  const timeout = `${milliseconds(args.timeout)}ms` as const;
  const deadline =
    args.deadline === undefined ? undefined : Math.ceil((Date.now() + milliseconds(args.deadline)) / 1000);
  const onProgress = (progress: RequestProgress) => {
    if (io.stderr.isTTY === true) io.stderr.write(`${progressLine(progress)}\n`);
  };
  const options = { get, format, timeout, devicePort, deadline, signal, onProgress };
  try {
    const result = await createRequester({ client, security, replies, timeScale })(sim, name, params, options);
    await report(result, args.json, io);
    return EXIT_BY_OUTCOME[result.outcome];
  } finally {
    security.close();
  }
}

function progressLine(progress: RequestProgress): string {
  switch (progress.type) {
    case 'sent':
      return progress.attempt === 1 ? 'sent' : `sent again (${progress.attempt})`;
    case 'challenged':
      return 'the device asked for proof that the command is new; sent with it';
    case 'accepted':
      return 'accepted: the device answers later';
    case 'block': {
      const { way, number, total } = progress.block;
      return `block ${number}${total === undefined ? '' : ` of ${total}`} ${way === 'down' ? 'sent' : 'received'}`;
    }
  }
}

async function report(result: RequestResult, json: boolean, { stdout, stderr }: CliIo): Promise<void> {
  if (json) return print(stdout, printable(toJson(result)));
  const seconds = (result.timings.ended / 1000).toFixed(1);
  if (result.outcome !== 'done') {
    const { code, message, remedy } = result.error;
    await print(stderr, printable(`${result.outcome} (${code}) after ${seconds} s: ${message}`));
    return print(stderr, printable(remedy));
  }
  await printResult(result.result, stdout);
  if (stderr.isTTY === true) await print(stderr, `done in ${seconds} s${result.authentic ? ', authentic' : ''}`);
  if (result.cut === true) await print(stderr, 'note: the result was cut; this is only its beginning');
  if (result.forgotten === true)
    await print(stderr, 'note: the command was done before; the device no longer remembers its result');
  if (result.clockSynchronized === false)
    await print(stderr, 'note: the device’s clock is not synchronised, so it could not check the deadline');
}

/** Prints text as text, bytes as they are unless to a terminal, anything else as JSON, and no line for no result. */
async function printResult(result: unknown, stdout: CliIo['stdout']): Promise<void> {
  const terminal = stdout.isTTY === true;
  if (result === undefined) return;
  if (typeof result === 'string')
    return print(stdout, terminal ? result.split('\n').map(printable).join('\n') : result);
  if (!(result instanceof Uint8Array)) return print(stdout, terminal ? printable(toJson(result)) : toJson(result));
  if (terminal) return print(stdout, `0x${Buffer.from(result).toString('hex')}`);
  stdout.write(result);
}
