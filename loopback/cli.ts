import { readFile } from 'node:fs/promises';
import { getRequestListener } from '@hono/node-server';
import type { Argv, CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../shared/check-input.js';
import { formatError } from '../shared/cli.js';
import { durationSchema, milliseconds } from '../shared/duration.js';
import { messageOf, SupersimError } from '../shared/errors.js';
import { generateSims, MAX_SIMS, parseSimsFile, type SimInput } from './account/sims.js';
import { apiFaultsHelp, parseApiFaults } from './api/faults.js';
import {
  DEFAULT_GATEWAY_ADDRESS,
  DEFAULT_GATEWAY_PORT,
  DEFAULT_HTTP_ADDRESS,
  DEFAULT_HTTP_PORT,
  type LoopbackOptions,
  startLoopback,
} from './loopback.js';
import { DIALECT_NAMES, type DialectName, quirksHelp } from './modem/dialects/index.js';
import { modemFaultsHelp, parseModemFaults } from './modem/faults/faults.js';
import { baudSchema, DEFAULT_MODEM_SIM } from './modem/settings.js';
import type { ModemInput } from './modem/status.js';
import { MAX_SEED } from './network/faults/random.js';
import { faultsHelp, parseFaults, seedSchema } from './network/faults/settings.js';
import { formatBanner, formatEvent, formatFaultCounts } from './print.js';
import { probeApi } from './probe.js';
import { assumptionsHelp, parseAssumptions, parsePair, SOURCE_PORTS } from './vendor-assumptions.js';
import { PROVIDERS } from './vendor-error.js';

const port = z.int().min(0).max(65_535);
const gatewaySchema = z
  .string()
  .regex(/^[\d.]+:\d{1,5}$/)
  .transform((text) => text.split(':'))
  .transform(([address, written]) => ({ address, port: Number(written) }))
  .pipe(z.object({ address: z.ipv4(), port }));

const EPILOG = `Environment (default: random): SUPERSIM_CLIENT_ID, SUPERSIM_CLIENT_SECRET, SUPERSIM_WEBHOOK_SECRET (KORE),
SUPERSIM_ACCOUNT_SID, SUPERSIM_AUTH_TOKEN (Twilio).

Assumptions (--assume):
${assumptionsHelp()}

Faults of the network (--faults), in both directions, or only down. (to the device) or up. (from it); #2+5: packets 2 and 5:
${faultsHelp()}

Faults of the API (--api-faults); #2+5: requests 2 and 5:
${apiFaultsHelp()}

Faults of the modem (--modem-faults); #2+5: the second and the fifth of their kind:
${modemFaultsHelp()}

Quirks of the modem (--modem-quirk):
${quirksHelp()}`;

const builder = (yargs: Argv) =>
  yargs
    .option('http-address', { type: 'string', default: DEFAULT_HTTP_ADDRESS, describe: 'Address of the API' })
    .option('http-port', { type: 'number', default: DEFAULT_HTTP_PORT, describe: 'Port of the API; 0: any free one' })
    .option('gateway', {
      type: 'string',
      default: `${DEFAULT_GATEWAY_ADDRESS}:${DEFAULT_GATEWAY_PORT}`,
      describe: 'ADDRESS:PORT (UDP, IPv4) that devices send to',
    })
    .option('sims', { type: 'string', describe: 'YAML file with a list of SIMs, or their number; default: 1' })
    .option('source-port', { choices: SOURCE_PORTS, describe: 'Port that commands leave from; default: other' })
    .option('token-life', {
      type: 'string',
      default: '1h',
      describe: 'How long an access token (KORE) is valid, from 1s to 720h',
    })
    .option('webhooks', {
      choices: PROVIDERS,
      default: PROVIDERS[0],
      describe: 'Provider whose webhooks and signatures are sent',
    })
    .option('assume', {
      type: 'string',
      array: true,
      default: [],
      describe: 'KEY=VALUE: an assumption about undocumented behaviour (repeatable)',
    })
    .option('faults', {
      type: 'string',
      describe: 'Faults of the radio network, such as loss=0.2,delay=50ms,up.loss=#2+5',
    })
    .option('api-faults', {
      type: 'string',
      describe: 'Faults of the API, such as atOnce=20,busy=0.05,delay=50ms',
    })
    .option('modem', {
      choices: DIALECT_NAMES,
      describe: 'Offer a virtual modem of this dialect on a tty, with a SIM of its own',
    })
    .option('modem-path', { type: 'string', describe: 'LINK: symbolic link to create to the modem’s tty' })
    .option('modem-baud', {
      type: 'number',
      default: 0,
      describe: 'Bits per second of the modem’s line; 0: no limit',
    })
    .option('modem-sim', { type: 'string', default: DEFAULT_MODEM_SIM, describe: 'Name of the modem’s SIM' })
    .option('modem-faults', {
      type: 'string',
      describe: 'Faults of the modem, such as urcLoss=0.2,sendFail=#2+5,error.AT+QIACT=30',
    })
    .option('modem-quirk', {
      type: 'string',
      array: true,
      default: [],
      describe: 'KEY=VALUE: a variant of the firmware (repeatable)',
    })
    .option('seed', {
      type: 'number',
      describe: `Seed of the faults’ random numbers, 0 to ${MAX_SEED}; default: random`,
    })
    .implies({ 'modem-path': 'modem', 'modem-faults': 'modem' })
    .strict()
    .epilog(EPILOG);

type LoopbackArguments = ReturnType<typeof builder> extends Argv<infer A> ? A : never;

/** `supersim loopback`: runs until SIGINT or SIGTERM, then exits with 0; with 1 when it cannot start. */
export const loopbackCommand: CommandModule<object, LoopbackArguments> = {
  command: 'loopback',
  describe: 'Run the Super SIM network on this machine: API, UDP gateway and webhooks',
  builder,
  async handler(args) {
    try {
      await run(await optionsFrom(args, process.env));
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exitCode = 1;
    }
  },
};

async function run(options: LoopbackOptions): Promise<void> {
  const ended = new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  useLightResponses();
  const loopback = await startLoopback(options);
  try {
    const printLine = linePrinter(process.stdout);
    loopback.onEvent((event) => printLine(`${new Date().toISOString()} ${formatEvent(event)}\n`));
    process.stdout.write(`${formatBanner(loopback)}\n`);
    await probeApi(loopback);
    process.stdout.write('\nready; press Ctrl-C to stop\n');
    await ended;
    const hit = formatFaultCounts(loopback.counters);
    if (hit !== undefined) process.stdout.write(`faults     ${hit} (seed ${loopback.faults().seed})\n`);
  } finally {
    await loopback.stop();
  }
}

/**
 * Has Hono's server replace the global Request and Response by its own, which are made several times as fast. This process
 * is the loopback's; one that embeds it keeps Node's.
 */
const useLightResponses = () => getRequestListener(() => new Response(), { overrideGlobalObjects: true });

/** Makes a function that writes the lines of one turn of the event loop at once: each write blocks it. */
function linePrinter(stream: NodeJS.WriteStream): (line: string) => void {
  let isCorked = false;
  return (line) => {
    if (!isCorked) {
      isCorked = true;
      stream.cork();
      setImmediate(() => {
        isCorked = false;
        stream.uncork();
      });
    }
    stream.write(line);
  };
}

/** @throws SupersimError `bad-input` for a value that cannot be used */
async function optionsFrom(args: LoopbackArguments, environment: NodeJS.ProcessEnv): Promise<LoopbackOptions> {
  const gateway = checkInput(gatewaySchema, args.gateway, '--gateway');
  return {
    httpAddress: args['http-address'],
    httpPort: checkInput(port, args['http-port'], '--http-port'),
    gatewayAddress: gateway.address,
    gatewayPort: gateway.port,
    assumptions: parseAssumptions(args.assume),
    ...(args.sims !== undefined && { sims: await readSims(args.sims) }),
    ...(args.faults !== undefined && { faults: parseFaults(args.faults) }),
    ...(args['api-faults'] !== undefined && { apiFaults: parseApiFaults(args['api-faults']) }),
    ...(args.seed !== undefined && { seed: checkInput(seedSchema, args.seed, '--seed') }),
    ...(args.modem && { modem: modemFrom(args, args.modem) }),
    ...(args['source-port'] && { sourcePort: args['source-port'] }),
    tokenLife: `${milliseconds(checkInput(durationSchema('1s', '720h'), args['token-life'], '--token-life'))}ms`,
    webhooks: args.webhooks,
    ...secretsFrom(environment),
  };
}

/** Reads the secrets from the environment; an empty variable counts as unset. */
function secretsFrom(environment: NodeJS.ProcessEnv): Partial<LoopbackOptions> {
  const given = {
    clientId: environment['SUPERSIM_CLIENT_ID'],
    clientSecret: environment['SUPERSIM_CLIENT_SECRET'],
    webhookSecret: environment['SUPERSIM_WEBHOOK_SECRET'],
    accountSid: environment['SUPERSIM_ACCOUNT_SID'],
    authToken: environment['SUPERSIM_AUTH_TOKEN'],
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== ''));
}

function modemFrom(args: LoopbackArguments, dialect: DialectName): ModemInput {
  return {
    dialect,
    baud: checkInput(baudSchema, args['modem-baud'], '--modem-baud'),
    sim: args['modem-sim'],
    quirks: Object.fromEntries(args['modem-quirk'].map(parsePair)),
    ...(args['modem-path'] !== undefined && { path: args['modem-path'] }),
    ...(args['modem-faults'] !== undefined && { faults: parseModemFaults(args['modem-faults']) }),
  };
}

/** @param given a file name, or the number of SIMs */
async function readSims(given: string): Promise<SimInput[]> {
  if (/^\d+$/.test(given)) return generateSims(checkInput(z.int().min(1).max(MAX_SIMS), Number(given), '--sims'));
  let text: string;
  try {
    text = await readFile(given, 'utf8');
  } catch (error) {
    throw new SupersimError('bad-input', `--sims: ${messageOf(error)}`, { cause: error });
  }
  return parseSimsFile(text);
}
