import type { Options } from 'yargs';
import * as z from 'zod';

export const DEFAULT_BAUD = 115_200;
const BAUD = 'must be a speed in bits per second';

export const baudSchema = z.number(BAUD).pipe(z.int(BAUD).min(300, BAUD).max(4_000_000, BAUD));

/** The flags of commands that open a modem's port. */
export const portOptions = {
  path: { type: 'string', describe: 'Path of the serial port' },
  baud: { type: 'number', describe: `Speed of the port (default: ${DEFAULT_BAUD}); ignored by USB ports` },
} as const satisfies Record<string, Options>;
