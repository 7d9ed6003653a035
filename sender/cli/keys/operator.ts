import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { SupersimError } from '../../../shared/errors.js';
import { type FleetKey, fleetKeys } from '../../security/keys/fleet-keys.js';
import { rebind } from '../../security/keys/rebind.js';
import { homeElsewhere, newInstallation, readInstallation } from '../../security/store/home.js';
import { identifyMachine } from '../../security/store/machine.js';
import { type CliIo, print, processIo } from '../io.js';
import { keysOptions, keysSchema, kidArgs, kidOption } from './options.js';
import { type OpenedKeys, withKeys } from './store.js';

const argsSchema = keysSchema.extend({ ...kidArgs.shape, new: z.boolean().default(false) });

export const operatorCommand: CommandModule<object, object> = {
  command: 'operator',
  describe: 'Show this installation, which the devices know by its kids; or make a copied file one of its own',
  builder: (yargs) =>
    yargs.options({
      new: {
        type: 'boolean',
        describe: 'Make a copied file an installation of its own: devices need new key files then',
      },
      ...kidOption,
      ...keysOptions,
    }),
  handler: (argv) => operator(argv, processIo()),
};

/** `supersim keys operator`. */
export async function operator(argv: unknown, io: CliIo): Promise<void> {
  const { kid, ...args } = checkInput(argsSchema, argv, 'the arguments');
  if (kid !== undefined && !args.new) throw new SupersimError('bad-input', '--kid is for --new');
  await withKeys(args, io, (opened) => (args.new ? makeNew(opened, kid, io) : show(opened, io)));
}

async function show({ store }: OpenedKeys, { env, stdout }: CliIo): Promise<void> {
  const elsewhere = homeElsewhere(store, identifyMachine(env));
  const { tag } = readInstallation(store);
  await print(stdout, `file       ${printable(store.path)}`);
  await print(stdout, `belongs to ${elsewhere === undefined ? 'this machine' : printable(`${elsewhere}; see --new`)}`);
  await print(stdout, `tag        ${tag}`);
  for (const key of fleetKeys(store)) await print(stdout, `fleet key  ${describe(key)}`);
}

async function makeNew({ store }: OpenedKeys, kid: number | undefined, io: CliIo): Promise<void> {
  const here = newInstallation(io.env);
  if (homeElsewhere(store, here.machine) === undefined) throw ownFile(store.path);
  const { fleetKeys: keys, sims } = store.transaction(() => rebind(store, here, kid));
  for (const key of keys) await print(io.stdout, `fleet key  ${describe(key)}`);
  await print(
    io.stderr,
    sims === 0
      ? 'No SIM had a key.'
      : `${sims} ${sims === 1 ? 'SIM needs a new key file' : 'SIMs need new key files'}: make them with \`supersim keys device\`. Until then, requests to them fail.`,
  );
}

const ownFile = (path: string) =>
  new SupersimError('bad-input', `${printable(path)} is no copy: it belongs to this machine, and its keys are in use`, {
    remedy:
      'Run it for a copy, where that is. For a clone of this machine, first give it another /etc/machine-id, or SUPERSIM_MACHINE_ID.',
  });

const describe = ({ id, kid, isCurrent, secret }: FleetKey): string =>
  `${id}, kid ${kid}${isCurrent ? ', current' : ''}${secret === undefined ? ', revoked' : ''}`;
