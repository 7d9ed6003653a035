import { isIP } from 'node:net';
import type { InferredOptionTypes, Options } from 'yargs';
import { SupersimError } from '../../shared/errors.js';
import { loadConfig } from './load.js';
import type { Config } from './schema.js';
import type { Override } from './source.js';

/** Ranges that `--dev` allows in addition to the configured ones. */
const DEVELOPMENT_RANGES = ['127.0.0.0/8', '::1/128'];

/** The flags of every command that reads the configuration. */
export const configOptions = {
  config: { type: 'string', describe: 'Configuration file (default: /etc/supersim-agent/config.yaml, if it exists)' },
} as const satisfies Record<string, Options>;

/** The flags that override the configuration. */
export const runOptions = {
  ...configOptions,
  port: { type: 'number', array: true, describe: 'Device port to listen on; may be repeated' },
  address: { type: 'string', describe: 'Listen address: auto, an address, or an interface such as wwan0' },
  gateway: { type: 'string', describe: 'ADDRESS:PORT of the network’s gateway' },
  'log-level': { type: 'string', describe: 'Log level: fatal, error, warn, info, debug, trace or silent' },
  dev: { type: 'boolean', describe: 'Development mode: listen on 127.0.0.1 and accept commands from this machine' },
} as const satisfies Record<string, Options>;

export type RunFlags = Partial<InferredOptionTypes<typeof runOptions>>;

/** Loads the configuration from the file, the variables and the flags. */
export async function configFromFlags(flags: RunFlags): Promise<Config> {
  const config = await loadConfig(flags.config, overridesOf(flags), process.env);
  return flags.dev === true ? { ...config, allow: [...config.allow, ...DEVELOPMENT_RANGES] } : config;
}

function overridesOf(flags: RunFlags): Override[] {
  const overrides: Override[] = [];
  const override = (path: string[], value: unknown, from: string) => {
    if (value !== undefined) overrides.push({ path, value, from });
  };
  override(['listen', 'address'], flags.dev === true ? '127.0.0.1' : undefined, '--dev');
  override(['listen', 'address'], flags.address, '--address');
  override(['listen', 'ports'], flags.port, '--port');
  if (flags.gateway !== undefined) override(['gateway'], parseGateway(flags.gateway), '--gateway');
  override(['log', 'level'], flags['log-level'], '--log-level');
  return overrides;
}

function parseGateway(text: string): { address: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? '';
  if (isIP(address) === 0)
    throw new SupersimError('bad-input', `--gateway ${text} is not ADDRESS:PORT, such as 100.64.0.1:6969`);
  return { address, port: Number(port) };
}
