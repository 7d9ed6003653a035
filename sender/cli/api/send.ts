import { createReadStream } from 'node:fs';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { readInput } from '../../../shared/async/read-body.js';
import { checkInput } from '../../../shared/check-input.js';
import { SupersimError } from '../../../shared/errors.js';
import { detectFormat } from '../../../shared/format/detect.js';
import { DEVICE_PORT, MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { openSecurity, type SenderSecurity, type SimLookup } from '../../security/security.js';
import { type CliIo, print, processIo } from '../io.js';
import { commonOptions, commonSchema, openClient } from '../options.js';
import { details, jsonLine } from './table.js';

const argsSchema = commonSchema.extend({
  sim: z.string().min(1),
  port: z.number().default(DEVICE_PORT),
  payload: z.string().optional(),
  '--': z.array(z.string()).default([]),
  binary: z.boolean().default(false),
  file: z.string().min(1).optional(),
  callbackUrl: z.string().optional(),
  sizeLimit: z.number().optional(),
  unprotected: z.boolean().default(false),
});

type SendArgs = z.output<typeof argsSchema>;

export const sendCommand: CommandModule<object, object> = {
  command: 'send [payload]',
  describe: 'Send a payload to a SIM’s device',
  builder: (yargs) =>
    yargs
      .positional('payload', { type: 'string', describe: 'Text, or Base64 with --binary; - for standard input' })
      // Otherwise yargs takes the value `-` for an empty one.
      .nargs('payload', 1)
      // A payload may also stand after `--`, and must not be parsed as a number.
      .parserConfiguration({ 'populate--': true, 'parse-positional-numbers': false })
      .options({
        sim: { type: 'string', demandOption: true, requiresArg: true, describe: 'The SIM’s SID or unique name' },
        port: { type: 'number', default: DEVICE_PORT, requiresArg: true, describe: 'UDP port on the device' },
        binary: {
          type: 'boolean',
          describe: 'Send bytes: PAYLOAD is Base64; a file or standard input is sent as it is',
        },
        file: { type: 'string', requiresArg: true, describe: 'Read the payload from a file' },
        'callback-url': {
          type: 'string',
          requiresArg: true,
          describe: 'URL that the vendor calls with the command’s status',
        },
        unprotected: {
          type: 'boolean',
          describe: 'Send it to a SIM with a key all the same: its device takes it only on ports that are open',
        },
        'size-limit': { type: 'number', requiresArg: true, describe: 'Most bytes of a binary payload, up to 1300' },
        ...commonOptions,
      })
      .example('$0 send --sim gateway-1 "#1 ping"', 'Text; the reply comes back as "#1 ok pong"')
      .example('$0 send --sim gateway-1 --binary oWZtZXRob2RkcGluZw==', 'Bytes, here CBOR'),
  handler: (argv) => send(argv, processIo()),
};

/** `supersim send`. */
export async function send(argv: unknown, io: CliIo): Promise<void> {
  const args = checkInput(argsSchema, argv, 'the arguments');
  const payload = await readPayload(args, io.stdin);
  const client = await openClient({ profile: args.profile, sizeLimit: args.sizeLimit }, io);
  const { sim, port: devicePort, callbackUrl } = args;
  if (!args.unprotected) await refuseKey(sim, openSecurity({ profile: args.profile, env: io.env }), client);
  const command = await client.create({ sim, payload, devicePort, callbackUrl });
  await print(io.stdout, args.json ? jsonLine(command) : details(command));
  if (io.stderr.isTTY === true && canRunTwice(payload)) {
    await print(
      io.stderr,
      'note: without an id, as in "#1 ping", this command can run twice, and its reply cannot be told apart from others',
    );
  }
}

/** @throws SupersimError `key-required`, and as `keyFor` */
async function refuseKey(sim: string, security: SenderSecurity, client: SimLookup): Promise<void> {
  try {
    if ((await security.keyFor(sim, client)).key === undefined) return;
  } finally {
    security.close();
  }
  throw new SupersimError('key-required', `${sim} has a key, and \`supersim send\` protects nothing`);
}

async function readPayload(args: SendArgs, stdin: CliIo['stdin']): Promise<string | Uint8Array> {
  const { file, binary } = args;
  const [payload, ...more] = args.payload === undefined ? args['--'] : [args.payload, ...args['--']];
  if (more.length > 0) throw badInput('more than one PAYLOAD: quote it');
  if (payload !== undefined && file !== undefined) throw badInput('give a PAYLOAD or a --file, not both');
  if (payload !== undefined && payload !== '-') return binary ? fromBase64(payload) : payload;
  if (file === undefined && payload === undefined && stdin.isTTY === true)
    throw badInput('no PAYLOAD: give one, or --file');
  const bytes = await readInput(
    file === undefined ? stdin : createReadStream(file),
    file ?? 'standard input',
    MAX_PAYLOAD_BYTES,
  );
  return binary ? bytes : fromUtf8(bytes);
}

function fromBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw badInput('PAYLOAD is not Base64, which --binary requires');
  return bytes;
}

function fromUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw badInput('the payload is not UTF-8 text: send it with --binary');
  }
}

const badInput = (message: string) => new SupersimError('bad-input', message);

/** Tells whether a payload is a text command without an `#id`: a device takes two copies of it for two commands. */
function canRunTwice(payload: string | Uint8Array): boolean {
  const bytes = Buffer.from(payload);
  return detectFormat(bytes) === 'text' && !bytes.toString('utf8').trimStart().startsWith('#');
}
