import type { Options } from 'yargs';
import * as z from 'zod';
import { kidSchema } from '../../../shared/oscore/key-file.js';
import { commonOptions, commonSchema } from '../options.js';

/** Options of every command that handles keys. Secrets are never among them: any user can read a process's arguments. */
export const keysOptions = {
  profile: {
    ...commonOptions.profile,
    describe: 'Profile beside which the keys are: NAME.yaml has NAME.keys (default: ~/.config/supersim/profile.yaml)',
  },
} as const satisfies Record<string, Options>;

export const keysSchema = commonSchema.pick({ profile: true });

export const kidOption = {
  kid: {
    type: 'number',
    requiresArg: true,
    describe: 'Number of this installation on the devices, 1 to 255; default: random',
  },
} as const satisfies Record<string, Options>;

export const kidArgs = z.object({ kid: kidSchema.optional() });

/** Options that name SIMs. */
export const simsOptions = {
  sim: { type: 'string', array: true, requiresArg: true, describe: 'These SIMs: SIDs, unique names or ICCIDs' },
  file: { type: 'string', requiresArg: true, describe: 'CSV file with one SIM in each row; - for standard input' },
} as const satisfies Record<string, Options>;

export const simsSchema = z.object({ sim: z.array(z.string().min(1)).default([]), file: z.string().min(1).optional() });
export type SimsArgs = z.output<typeof simsSchema>;
