import { stringify } from 'yaml';
import type { CommandModule } from 'yargs';
import { configFromFlags, configOptions, type RunFlags } from '../config/flags.js';
import { maskSecrets } from '../config/load.js';
import { configJsonSchema } from '../config/paths.js';
import { loadAllHandlers } from '../handlers/load.js';

const check: CommandModule<unknown, RunFlags> = {
  command: 'check',
  describe: 'Check the configuration and its handlers',
  builder: (yargs) => yargs.options(configOptions),
  async handler(flags) {
    const config = await configFromFlags(flags);
    const registry = await loadAllHandlers(config, []);
    process.stdout.write(`The configuration is valid: ${registry.size} commands.\n`);
    // A module may have left timers or sockets open.
    process.exit(0);
  },
};

const schema: CommandModule = {
  command: 'schema',
  describe: 'Print the JSON Schema of the configuration',
  handler: () => void process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`),
};

const show: CommandModule<unknown, RunFlags> = {
  command: 'show',
  describe: 'Print the effective configuration with secrets masked',
  builder: (yargs) => yargs.options(configOptions),
  handler: async (flags) => void process.stdout.write(stringify(maskSecrets(await configFromFlags(flags)))),
};

export const configCommand: CommandModule = {
  command: 'config <action>',
  describe: 'Check or show the configuration',
  builder: (yargs) => yargs.command(check).command(schema).command(show).demandCommand(1),
  handler: () => undefined,
};
