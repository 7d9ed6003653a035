import type { Options } from 'yargs';
import * as z from 'zod';
import { durationSchema } from '../../../shared/duration.js';
import { DEVICE_PORT } from '../../../shared/limits.js';
import { DEFAULT_CONCURRENCY } from '../../broadcast/options.js';
import { DEFAULT_REQUEST_TIMEOUT, REQUEST_FORMATS } from '../../request/request.js';
import { commonOptions, commonSchema } from '../options.js';

const DEFAULT_INTERVAL = '1s';
const DEFAULT_ABORT_ABOVE = '10%';

/** Reads `5%` as 0.05. */
const percentSchema = z
  .string()
  .regex(/^\d{1,3}(?:\.\d{1,3})?%$/, 'must be a percentage, such as 5%')
  .transform((text) => Number(text.slice(0, -1)) / 100)
  .pipe(z.number().max(1));

export const broadcastSchema = commonSchema.extend({
  name: z.string().optional(),
  words: z.array(z.string()).default([]),
  '--': z.array(z.string()).default([]),
  params: z.string().optional(),
  format: z.enum(REQUEST_FORMATS).default('coap'),
  get: z.boolean().default(false),
  port: z.number().default(DEVICE_PORT),
  deadline: durationSchema('1s', '168h').optional(),
  timeout: durationSchema('1s', '24h').default(DEFAULT_REQUEST_TIMEOUT),
  file: z.string().optional(),
  fleet: z.string().optional(),
  state: z.string().optional(),
  resume: z.string().optional(),
  concurrency: z.number().default(DEFAULT_CONCURRENCY),
  rate: z.number().optional(),
  /** False: `--no-canary`. */
  canary: z.union([percentSchema.refine((share) => share > 0, 'must be above 0%'), z.literal(false)]).optional(),
  abortAbove: percentSchema.default(percentSchema.parse(DEFAULT_ABORT_ABOVE)),
  interval: durationSchema('100ms', '1h').default(DEFAULT_INTERVAL),
});

export type BroadcastArgs = z.output<typeof broadcastSchema>;

/** Options that a broadcast's file holds already. */
export const NOT_WITH_RESUME = [
  'name',
  'file',
  'fleet',
  'state',
  'params',
  'get',
  'format',
  'port',
  'deadline',
  'abort-above',
];

/** The flags of `supersim broadcast`. */
export const broadcastOptions = {
  file: { type: 'string', requiresArg: true, describe: 'CSV file with one SIM in each row; - for standard input' },
  fleet: { type: 'string', requiresArg: true, describe: 'All SIMs of this Fleet instead, by SID or unique name' },
  state: {
    type: 'string',
    requiresArg: true,
    describe: 'SQLite file for the outcomes; default: a new file in this folder',
  },
  resume: { type: 'string', requiresArg: true, describe: 'Resume the broadcast in this file' },
  concurrency: {
    type: 'number',
    default: DEFAULT_CONCURRENCY,
    requiresArg: true,
    describe: 'Most SIMs in flight, 1 to 10000',
  },
  rate: { type: 'number', requiresArg: true, describe: 'Most datagrams a second, repeats included' },
  canary: {
    type: 'string',
    requiresArg: true,
    describe: 'Share of the SIMs that go first, such as 5%; with --resume, --no-canary asks the others anyway',
  },
  'abort-above': {
    type: 'string',
    requiresArg: true,
    describe: `With --canary: stop when a greater share of these is not done; default: ${DEFAULT_ABORT_ABOVE}`,
  },
  params: { type: 'string', requiresArg: true, describe: 'The parameters as a JSON object or array' },
  get: { type: 'boolean', describe: 'Send a CoAP GET, for commands that are declared safe' },
  format: { choices: REQUEST_FORMATS, requiresArg: true, describe: 'Format of the command; default: coap' },
  port: { type: 'number', requiresArg: true, describe: `UDP port on the devices; default: ${DEVICE_PORT}` },
  deadline: {
    type: 'string',
    requiresArg: true,
    describe: 'Time from now after which the command must not start, such as 2h',
  },
  timeout: {
    type: 'string',
    default: DEFAULT_REQUEST_TIMEOUT,
    requiresArg: true,
    describe: 'Longest wait for each device',
  },
  interval: {
    type: 'string',
    default: DEFAULT_INTERVAL,
    requiresArg: true,
    describe: 'Time between two polls for replies, from 100ms to 1h',
  },
  ...commonOptions,
  json: { type: 'boolean', default: false, describe: 'Print results as JSON, one a line, instead of CSV' },
} as const satisfies Record<string, Options>;
