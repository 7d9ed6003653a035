import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { seedSchema } from '../network/faults/settings.js';
import { DIALECT_NAMES, resolveDialect } from './dialects/index.js';
import { resolveModemFaults } from './faults/faults.js';

export const DEFAULT_MODEM_SIM = 'modem-1';
const MAX_BAUD = 4_000_000;

/** Bits per second; 0: no limit. The lowest speed still carries a datagram within seconds. */
export const baudSchema = z.union([z.literal(0), z.int().min(300).max(MAX_BAUD)], {
  error: `must be 0, or from 300 to ${MAX_BAUD}`,
});

const schema = z.strictObject({
  dialect: z.enum(DIALECT_NAMES),
  path: z.string().min(1).optional(),
  baud: baudSchema.default(0),
  sim: z.string().min(1).default(DEFAULT_MODEM_SIM),
  quirks: z.record(z.string(), z.string()).default({}),
  faults: z.unknown().optional(),
  seed: seedSchema.optional(),
});

export type ModemSettings = z.output<typeof schema>;

/** @throws SupersimError `bad-input` for an invalid seed */
export function checkSeed(seed: number): void {
  checkInput(seedSchema, seed, 'modem seed');
}

/**
 * Checks the settings and fills in the defaults.
 *
 * @throws SupersimError `bad-input` for invalid settings
 */
export function resolveModemSettings(input: unknown): ModemSettings {
  const settings = checkInput(schema, input, 'modem');
  resolveDialect(settings.dialect, settings.quirks);
  resolveModemFaults(settings.faults ?? {});
  return settings;
}
