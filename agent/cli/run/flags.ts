import { parseArgs } from 'node:util';
import { type RunFlags, runOptions } from '../../config/flags.js';

/**
 * Parses the command line of `supersim-agent run` without yargs, which takes longer to load than the agent.
 *
 * @param args the arguments after `supersim-agent`
 * @returns undefined for any other command line, including wrong ones and `--help`: yargs handles those
 */
export function readRunFlags(args: readonly string[]): RunFlags | undefined {
  if (args[0] !== 'run') return undefined;
  try {
    const { values } = parseArgs({ args: args.slice(1), options: OPTIONS, allowPositionals: false, strict: true });
    const port = values.port?.map(Number);
    return port?.some(Number.isNaN) ? undefined : { ...values, port };
  } catch {
    return undefined;
  }
}

const OPTIONS = {
  config: { type: runOptions.config.type },
  port: { type: 'string', multiple: true },
  address: { type: runOptions.address.type },
  gateway: { type: runOptions.gateway.type },
  'log-level': { type: runOptions['log-level'].type },
  dev: { type: runOptions.dev.type },
} as const satisfies Record<keyof typeof runOptions, unknown>;
