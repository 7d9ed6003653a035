import type { CommandModule } from 'yargs';
import { checkInput } from '../../../shared/check-input.js';
import { SupersimError } from '../../../shared/errors.js';
import { addFleetKey, currentFleetKey, newFleetSecret } from '../../security/keys/fleet-keys.js';
import { type CliIo, print, processIo } from '../io.js';
import { printCurrent } from './fleet-key.js';
import { keysOptions, keysSchema, kidArgs, kidOption } from './options.js';
import { withNewKeys } from './store.js';

const argsSchema = keysSchema.extend(kidArgs.shape);

export const newCommand: CommandModule<object, object> = {
  command: 'new',
  describe: 'Make the first fleet key, from which the keys of all devices are derived',
  builder: (yargs) => yargs.options({ ...kidOption, ...keysOptions }),
  handler: (argv) => makeFleetKey(argv, processIo()),
};

/** `supersim keys new`. */
export async function makeFleetKey(argv: unknown, io: CliIo): Promise<void> {
  const { kid, ...which } = checkInput(argsSchema, argv, 'the arguments');
  await withNewKeys(which, io, async ({ store, change }) => {
    const key = change(() => {
      const current = currentFleetKey(store);
      if (current !== undefined) {
        throw new SupersimError('bad-input', `there is a fleet key already: ${current.id}`, {
          remedy: '`supersim keys rotate` replaces it.',
        });
      }
      return addFleetKey(store, newFleetSecret(), kid);
    });
    await printCurrent(key, store, io);
    await print(io.stderr, 'Make the key file of a device with `supersim keys device --sim NAME --out FILE`.');
  });
}
