import type { Options } from 'yargs';
import * as z from 'zod';

export const DEFAULT_BAUD = 115_200;
const BAUD = 'must be a number of bits per second';

export const baudSchema = z.number(BAUD).pipe(z.int(BAUD).min(300, BAUD).max(4_000_000, BAUD));

/** The flags of every command that opens a modem's port. */
export const portOptions = {
  path: { type: 'string', describe: 'Serial port' },
  baud: { type: 'number', describe: `Speed of the port, ${DEFAULT_BAUD} unless told otherwise; a USB port has none` },
} as const satisfies Record<string, Options>;
