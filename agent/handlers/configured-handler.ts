import { milliseconds } from '../../shared/duration.js';
import type { ProgramConfig, SocketConfig } from '../config/schema.js';
import type { Handler } from './handler.js';
import { bindAny } from './params.js';

/** Makes the common part of configured handlers: everything except `run`. */
export const configuredHandler = (name: string, config: ProgramConfig | SocketConfig): Omit<Handler, 'run'> => ({
  name,
  description: config.description,
  safe: config.safe,
  idempotent: config.idempotent || config.safe,
  timeoutMs: milliseconds(config.timeout),
  usage: '[anything]',
  bind: bindAny,
});
