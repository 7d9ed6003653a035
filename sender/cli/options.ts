import type { Options } from 'yargs';
import * as z from 'zod';
import { IpCommandClient } from '../api/client.js';
import { loadCredentials } from '../api/credentials.js';
import type { CliIo } from './io.js';

/** Options of every command. Credentials are never among them: any user can read a process's arguments. */
export const commonOptions = {
  json: { type: 'boolean', default: false, describe: 'Print one JSON object a line' },
  profile: {
    type: 'string',
    describe: 'File with the credentials, mode 0600 (default: the variables, then ~/.config/supersim/profile.yaml)',
    requiresArg: true,
  },
} as const satisfies Record<string, Options>;

export const commonSchema = z.object({
  json: z.boolean().default(false),
  profile: z.string().min(1).optional(),
});

interface ClientSettings {
  readonly profile: string | undefined;
  readonly sizeLimit?: number | undefined;
  readonly signal?: AbortSignal;
}

/** @throws SupersimError `no-credentials`, `profile-unsafe`, `bad-input` */
export async function openClient({ profile, ...settings }: ClientSettings, io: CliIo): Promise<IpCommandClient> {
  const credentials = await loadCredentials({ profile }, io.env);
  return new IpCommandClient({ ...credentials, ...settings, io: { sleep: io.sleep } });
}
