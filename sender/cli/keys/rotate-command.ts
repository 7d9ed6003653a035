import type { CommandModule } from 'yargs';
import { processIo } from '../io.js';
import { commonOptions } from '../options.js';
import { untilInterrupted } from '../until-interrupted.js';
import { keysOptions, kidOption, simsOptions } from './options.js';
import { rotate } from './rotate.js';
import { tryKeyOptions, withTryKey } from './try-key.js';

export const rotateCommand: CommandModule<object, object> = {
  command: 'rotate',
  describe: 'Make another fleet key; or with SIMs, use their new keys where their devices answer with them',
  builder: (yargs) =>
    yargs
      .options({
        ...simsOptions,
        all: { type: 'boolean', describe: 'All SIMs with a new key' },
        ...kidOption,
        ...tryKeyOptions,
        json: commonOptions.json,
        ...keysOptions,
      })
      .conflicts({ all: ['sim', 'file'], file: 'sim' })
      .example('$0 keys rotate', 'A new fleet key; says what to do next')
      .example(
        '$0 keys rotate --sim gateway-1',
        'Once its device has the new key file; the exit code is 0 if all are switched',
      ),
  handler: (argv) =>
    untilInterrupted(async (signal) => {
      const io = processIo();
      process.exitCode = await withTryKey(argv, io, signal, (tryKey) => rotate(argv, io, tryKey, signal));
    }),
};
