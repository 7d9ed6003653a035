import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { SupersimError } from '../../../shared/errors.js';
import { allowSchema, deviceIdSchema, formatKeyFile } from '../../../shared/oscore/key-file.js';
import { type IssuedKey, issueKey } from '../../security/keys/device-keys.js';
import { readInstallation } from '../../security/store/home.js';
import { type CliIo, print, processIo } from '../io.js';
import { openClient } from '../options.js';
import { installCommand, keyFileOf, makeKeyFolder, shellWord, writeKeyFile } from './key-files.js';
import { keysOptions, keysSchema } from './options.js';
import { findSim, findSims, type NamedSim, simNames } from './sims.js';
import { type OpenedKeys, withKeys } from './store.js';

const argsSchema = keysSchema.extend({
  sim: z.string().min(1).optional(),
  file: z.string().min(1).optional(),
  allow: allowSchema.optional(),
  device: deviceIdSchema.optional(),
  out: z.string().min(1).optional(),
});
type DeviceArgs = z.output<typeof argsSchema>;

export const deviceCommand: CommandModule<object, object> = {
  command: 'device',
  describe: 'Make the key file of a SIM’s device, to be installed on it; again the same for one that has a key',
  builder: (yargs) =>
    yargs
      .options({
        sim: { type: 'string', requiresArg: true, describe: 'The SIM: its SID, unique name or ICCID' },
        file: {
          type: 'string',
          requiresArg: true,
          describe: 'CSV file with one SIM in each row instead; - for standard input',
        },
        allow: {
          type: 'string',
          array: true,
          requiresArg: true,
          describe: 'The commands that the key may call: names, or relay.* for all below relay; default: all',
        },
        device: { type: 'string', requiresArg: true, describe: 'The device id; default: the SIM’s ICCID' },
        out: {
          type: 'string',
          requiresArg: true,
          describe:
            'Where to write: a file, or with --file a folder; default: standard output, unless that is a terminal',
        },
        ...keysOptions,
      })
      .conflicts({ file: ['sim', 'device'] })
      .example('$0 keys device --sim gateway-1 --out gateway-1.json', 'Prints the command that installs it')
      .example("$0 keys device --file sims.csv --out keys --allow health 'relay.*'", 'A file for each SIM'),
  handler: (argv) => makeDeviceKeys(argv, processIo()),
};

/** `supersim keys device`. */
export async function makeDeviceKeys(argv: unknown, io: CliIo): Promise<void> {
  const args = checkInput(argsSchema, argv, 'the arguments');
  const { sim, file, out } = args;
  if (file !== undefined) {
    if (out === undefined) throw badInput('name the folder for the key files with --out');
    await makeMany(args, file, out, io);
  } else {
    if (sim === undefined) throw badInput('name the SIM with --sim, or many with --file');
    if (out === undefined && io.stdout.isTTY === true) {
      throw badInput('the key file would be shown on the terminal: name a file with --out');
    }
    await makeOne(args, sim, io);
  }
}

async function makeOne(args: DeviceArgs, name: string, io: CliIo): Promise<void> {
  const { device: deviceId, allow, out } = args;
  const which = { profile: args.profile };
  await withKeys(which, io, async ({ store, keys, change }) => {
    const sim = await findSim(name, await openClient(which, io));
    const issued = change(() => {
      const made = issueKey(store, keys, sim, { deviceId, allow });
      // Before it is recorded: from then on, requests are protected with it.
      if (out !== undefined) writeKeyFile(out, formatKeyFile(made.key));
      return made;
    });
    if (out === undefined) await print(io.stdout, formatKeyFile(issued.key).trimEnd());
    await printNext(issued, out ?? 'FILE', `--sim ${shellWord(name)}`, store, io);
  });
}

async function makeMany({ allow, ...args }: DeviceArgs, file: string, folder: string, io: CliIo): Promise<void> {
  const which = { profile: args.profile };
  await withKeys(which, io, async (opened) => {
    const names = await simNames({ sim: [], file }, io);
    const sims = await findSims(names, await openClient(which, io));
    makeKeyFolder(folder);
    const issued = opened.change(() => sims.map((named) => issueTo(folder, named, allow, opened)));
    await print(io.stderr, `${issued.length} key files are in ${printable(folder)}; each is for the device of its SIM`);
    const [first] = issued.filter(({ until }) => until !== undefined).concat(issued);
    const again = file === '-' ? '--all' : `--file ${shellWord(file)}`;
    if (first !== undefined) await printNext(first, `${folder}/SIM.json`, again, opened.store, io);
  });
}

function issueTo(folder: string, named: NamedSim, allow: DeviceArgs['allow'], { store, keys }: OpenedKeys): IssuedKey {
  const issued = issueKey(store, keys, named.sim, { allow });
  writeKeyFile(keyFileOf(folder, named), formatKeyFile(issued.key));
  return issued;
}

/** Prints what is to be done with a key file. */
async function printNext(
  { key, until }: IssuedKey,
  file: string,
  sims: string,
  store: OpenedKeys['store'],
  { stderr }: CliIo,
): Promise<void> {
  await print(stderr, 'Copy it to the device by a way that nobody else can read, and there run:');
  await print(stderr, `  ${printable(installCommand(file, key.kid, readInstallation(store).tag))}`);
  if (until === undefined) return;
  await print(
    stderr,
    `Until then the key ${until} goes on being used; afterwards run: supersim keys rotate ${printable(sims)}`,
  );
}

const badInput = (message: string) => new SupersimError('bad-input', message);
