import type { Options } from 'yargs';
import * as z from 'zod';
import { durationSchema } from '../../../shared/duration.js';
import { DEVICE_PORT } from '../../../shared/limits.js';
import { DEFAULT_CONCURRENCY } from '../../broadcast/options.js';
import { DEFAULT_REQUEST_TIMEOUT, REQUEST_FORMATS } from '../../request/request.js';
import { commonOptions, commonSchema } from '../options.js';

const DEFAULT_INTERVAL = '1s';
const DEFAULT_ABORT_ABOVE = '10%';

/** `5%`, as the part of one that it is. */
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

/** What a broadcast's file holds cannot be given again with it. */
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
  file: { type: 'string', requiresArg: true, describe: 'CSV file with the SIMs, one a row; - for stdin' },
  fleet: { type: 'string', requiresArg: true, describe: 'Instead: all SIMs of this Fleet, by SID or unique name' },
  state: { type: 'string', requiresArg: true, describe: 'SQLite file for what came of it; default: a new one here' },
  resume: { type: 'string', requiresArg: true, describe: 'Go on with the broadcast in this file' },
  concurrency: {
    type: 'number',
    default: DEFAULT_CONCURRENCY,
    requiresArg: true,
    describe: 'SIMs at once, 1 to 10000',
  },
  rate: { type: 'number', requiresArg: true, describe: 'Most datagrams a second, repeats too' },
  canary: {
    type: 'string',
    requiresArg: true,
    describe: 'How many go first: 5%. The others follow if these are done; --no-canary lets them, with --resume',
  },
  'abort-above': {
    type: 'string',
    requiresArg: true,
    describe: `With --canary: nobody follows when more of them are not done; default: ${DEFAULT_ABORT_ABOVE}`,
  },
  params: { type: 'string', requiresArg: true, describe: 'The parameters as a JSON object or array' },
  get: { type: 'boolean', describe: 'Ask by GET, for commands that are declared safe (CoAP)' },
  format: { choices: REQUEST_FORMATS, requiresArg: true, describe: 'How the command is written; default: coap' },
  port: { type: 'number', requiresArg: true, describe: `UDP port on the devices; default: ${DEVICE_PORT}` },
  deadline: { type: 'string', requiresArg: true, describe: 'Time from now after which it must not begin: 2h' },
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
    describe: 'Time between two looks for replies, from 100ms to 1h',
  },
  ...commonOptions,
  json: { type: 'boolean', default: false, describe: 'Print results as JSON, one a line, instead of CSV' },
} as const satisfies Record<string, Options>;
