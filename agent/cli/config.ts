import { stringify } from 'yaml';
import type { CommandModule } from 'yargs';
import { SupersimError } from '../../shared/errors.js';
import { maskSecrets } from '../config/load.js';
import { configJsonSchema } from '../config/paths.js';
import { loadHandlers } from '../handlers/load.js';
import { silentLog } from '../log.js';
import { configFromFlags, configOptions, type RunFlags } from './options.js';

const check: CommandModule<unknown, RunFlags> = {
  command: 'check',
  describe: 'Check the configuration, and that its handlers can be used',
  builder: (yargs) => yargs.options(configOptions),
  async handler(flags) {
    const config = await configFromFlags(flags);
    const problems: string[] = [];
    const report = (details: Readonly<Record<string, unknown>>, message: string) => {
      const { handler, module, error } = details;
      problems.push([message, handler ?? module, error].filter((part) => part !== undefined).join(': '));
    };
    const registry = await loadHandlers(config, [], { ...silentLog, error: report });
    if (problems.length > 0) throw new SupersimError('handler-invalid', problems.join('\n'));
    process.stdout.write(`The configuration is valid: ${registry.size} commands.\n`);
    // At once: a module may have left timers or sockets open.
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
  describe: 'Print the configuration as it is in force, secrets masked',
  builder: (yargs) => yargs.options(configOptions),
  handler: async (flags) => void process.stdout.write(stringify(maskSecrets(await configFromFlags(flags)))),
};

export const configCommand: CommandModule = {
  command: 'config <action>',
  describe: 'Check or show the configuration',
  builder: (yargs) => yargs.command(check).command(schema).command(show).demandCommand(1),
  handler: () => undefined,
};
