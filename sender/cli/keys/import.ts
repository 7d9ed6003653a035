import { createReadStream } from 'node:fs';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { readInput } from '../../../shared/async/read-body.js';
import { checkInput } from '../../../shared/check-input.js';
import { messageOf, SupersimError } from '../../../shared/errors.js';
import { FLEET_KEY_BYTES } from '../../../shared/oscore/identities.js';
import { type KeyFile, parseKeyFile } from '../../../shared/oscore/key-file.js';
import { importKey } from '../../security/keys/device-keys.js';
import { addFleetKey } from '../../security/keys/fleet-keys.js';
import { type CliIo, print, processIo } from '../io.js';
import { openClient } from '../options.js';
import { printCurrent } from './fleet-key.js';
import { keysOptions, keysSchema, kidArgs, kidOption } from './options.js';
import { findSim } from './sims.js';
import { withNewKeys } from './store.js';

/** Longest input, in bytes. */
const MAX_INPUT_BYTES = 16_384;
const VARIABLE = 'SUPERSIM_IMPORT_KEY';
const SECRET_LIKE = /^[0-9A-Fa-f]{32,}$/;
const FLEET_KEY = new RegExp(`^[0-9A-Fa-f]{${2 * FLEET_KEY_BYTES}}$`);

const argsSchema = keysSchema.extend({
  ...kidArgs.shape,
  path: z.string().optional(),
  sim: z.string().min(1).optional(),
  kidContext: z.boolean().default(false),
});
type ImportArgs = z.output<typeof argsSchema>;

export const importCommand: CommandModule<object, object> = {
  command: 'import [path]',
  describe: `Take a fleet key (64 hexadecimal digits) or a device’s key file, from a file, standard input or ${VARIABLE}`,
  builder: (yargs) =>
    yargs
      .positional('path', { type: 'string', describe: 'The file; - for standard input' })
      // Otherwise yargs takes the value `-` for an empty one.
      .nargs('path', 1)
      .options({
        sim: { type: 'string', requiresArg: true, describe: 'The SIM of the device whose key file it is' },
        ...kidOption,
        'kid-context': {
          type: 'boolean',
          describe: 'Send the device id with each request, as libcoap’s server requires; with a device’s key file',
        },
        ...keysOptions,
      }),
  handler: (argv) => importKeys(argv, processIo()),
};

/** `supersim keys import`. Nothing of what it reads is ever printed. */
export async function importKeys(argv: unknown, io: CliIo): Promise<void> {
  const args = checkInput(argsSchema, argv, 'the arguments');
  refuseSecret(args.path);
  const text = await readKey(args.path, io);
  if (FLEET_KEY.test(text)) await importFleetKey(args, Buffer.from(text, 'hex'), io);
  else await importDeviceKey(args, parseDeviceKey(text), io);
}

/** An argument can be read by any user of the machine; the error must not show it to more. */
function refuseSecret(path: string | undefined): void {
  if (path === undefined || !SECRET_LIKE.test(path)) return;
  throw new SupersimError('bad-input', 'the argument is a secret, or looks like one, and others can see arguments', {
    remedy: `Pipe the key in, and do not use this one any more. For a file of such a name, write ./ before it.`,
  });
}

async function readKey(path: string | undefined, { env, stdin }: CliIo): Promise<string> {
  const variable = path === undefined ? env[VARIABLE] : undefined;
  if (variable) return variable.trim();
  if (path === undefined && stdin.isTTY === true) {
    throw badInput(`no key: name its file, pipe it in, or set ${VARIABLE}`);
  }
  const isFile = path !== undefined && path !== '-';
  const input = isFile ? createReadStream(path) : stdin;
  return (await readInput(input, isFile ? path : 'standard input', MAX_INPUT_BYTES, NO_KEY)).toString('utf8').trim();
}

async function importFleetKey(
  { sim, kidContext, kid, ...which }: ImportArgs,
  secret: Buffer,
  io: CliIo,
): Promise<void> {
  if (sim !== undefined) throw badInput('this is a fleet key, which belongs to no --sim');
  if (kidContext) throw badInput('this is a fleet key: --kid-context is for the key file of a device');
  await withNewKeys(which, io, async ({ store, change }) => {
    const key = change(() => addFleetKey(store, secret, kid));
    await printCurrent(key, store, io);
  });
}

async function importDeviceKey(args: ImportArgs, file: KeyFile, io: CliIo): Promise<void> {
  const { sim: name, kid, kidContext } = args;
  const which = { profile: args.profile };
  if (name === undefined) throw badInput('this is the key file of a device: name its SIM with --sim');
  if (kid !== undefined) throw badInput('this is the key file of a device, which has its kid');
  const sim = await findSim(name, await openClient(which, io));
  await withNewKeys(which, io, async ({ store, keys, change }) => {
    const { key, until } = change(() => importKey(store, keys, sim, file, kidContext));
    await print(io.stdout, `key ${key.id}, device ${key.deviceId}, kid ${key.kid}`);
    await print(io.stderr, 'No other installation may use this key: both would use the same sequence numbers.');
    if (until === undefined) return;
    await print(io.stderr, `The key ${until} goes on being used until: supersim keys rotate --sim ${sim.sid}`);
  });
}

const NO_KEY = `Give 64 hexadecimal digits, or the key file of a device.`;

/** @throws SupersimError `bad-input`, which shows nothing of the text */
function parseDeviceKey(text: string): KeyFile {
  if (!text.startsWith('{')) {
    throw new SupersimError('bad-input', 'this is neither a fleet key nor the key file of a device', {
      remedy: NO_KEY,
    });
  }
  try {
    return parseKeyFile(text);
  } catch (error) {
    throw new SupersimError('bad-input', `the key file of the device: ${messageOf(error)}`, { remedy: NO_KEY });
  }
}

const badInput = (message: string) => new SupersimError('bad-input', message);
