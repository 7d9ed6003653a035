import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import * as z from 'zod';
import { messageOf, SupersimError, systemCodeOf } from '../shared/errors.js';
import { checkInput } from './input.js';

/** Longest profile file, in bytes. */
const MAX_PROFILE_BYTES = 65_536;
/** Every permission bit that is not among those of 0600. */
const MORE_THAN_0600 = 0o7177;

export interface Credentials {
  readonly accountSid: string;
  readonly authToken: string;
  readonly baseUrl?: string;
}

const profileSchema = z.strictObject({
  accountSid: z.string().min(1),
  authToken: z.string().min(1),
  apiUrl: z.string().min(1).optional(),
});

/**
 * Credentials from the file `profile` when one is named, else from the variables SUPERSIM_ACCOUNT_SID and
 * SUPERSIM_AUTH_TOKEN, else from the default profile. SUPERSIM_API_URL goes before the file's `apiUrl`.
 * An empty variable is as good as none.
 *
 * @throws SupersimError `no-credentials`, `profile-unsafe`, `bad-input` (what the file holds)
 */
export async function loadCredentials(
  { profile }: { profile?: string | undefined } = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<Credentials> {
  const apiUrl = env['SUPERSIM_API_URL'] || undefined;
  if (profile === undefined) {
    const accountSid = env['SUPERSIM_ACCOUNT_SID'] || undefined;
    const authToken = env['SUPERSIM_AUTH_TOKEN'] || undefined;
    if (accountSid !== undefined && authToken !== undefined) return withUrl({ accountSid, authToken }, apiUrl);
    if (accountSid !== undefined) throw new SupersimError('no-credentials', 'SUPERSIM_AUTH_TOKEN is not set');
    if (authToken !== undefined) throw new SupersimError('no-credentials', 'SUPERSIM_ACCOUNT_SID is not set');
  }
  const { apiUrl: own, ...credentials } = await readProfile(profile ?? defaultProfile(env));
  return withUrl(credentials, apiUrl ?? own);
}

const withUrl = (credentials: Credentials, baseUrl: string | undefined): Credentials =>
  baseUrl === undefined ? credentials : { ...credentials, baseUrl };

/** `~/.config/supersim/profile.yaml`, or under XDG_CONFIG_HOME. */
function defaultProfile(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config'), 'supersim', 'profile.yaml');
}

async function readProfile(path: string): Promise<z.output<typeof profileSchema>> {
  const file = await openProfile(path);
  try {
    return checkInput(profileSchema, parseYaml(path, await readSafely(path, file)), `the profile ${path}`);
  } finally {
    await file.close();
  }
}

async function openProfile(path: string): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const reason = systemCodeOf(error) === 'ENOENT' ? `there is no profile file ${path}` : messageOf(error);
    throw new SupersimError('no-credentials', reason, { cause: error });
  }
}

/** Looks at the file that is open, not at the path: that may name another one by now. */
async function readSafely(path: string, file: FileHandle): Promise<string> {
  const stats = await file.stat();
  if (!stats.isFile()) {
    const remedy = 'Name a regular file.';
    throw new SupersimError('profile-unsafe', `the profile ${path} is no regular file`, { remedy });
  }
  if ((stats.mode & MORE_THAN_0600) !== 0) {
    const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
    throw new SupersimError('profile-unsafe', `the profile ${path} has mode ${mode}, which is more than 0600`, {
      remedy: `Run: chmod 600 ${path}`,
    });
  }
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_PROFILE_BYTES + 1), 0, MAX_PROFILE_BYTES + 1, 0);
  if (bytesRead > MAX_PROFILE_BYTES) {
    throw new SupersimError('bad-input', `the profile ${path} is longer than ${MAX_PROFILE_BYTES} bytes`);
  }
  return buffer.toString('utf8', 0, bytesRead);
}

/** The YAML library's own messages quote the lines, and these hold the token: only the place is told. */
function parseYaml(path: string, text: string): unknown {
  const document = parseDocument(text, { prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const line = text.slice(0, error.pos[0]).split('\n').length;
    throw new SupersimError('bad-input', `the profile ${path} is not YAML: ${error.code} in line ${line}`);
  }
  try {
    return document.toJS();
  } catch {
    throw new SupersimError('bad-input', `the profile ${path} is not YAML: it has an alias that cannot be resolved`);
  }
}
