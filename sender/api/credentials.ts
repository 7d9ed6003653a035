import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { isSupersimError, messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { defaultProfile } from '../base/profile-path.js';
import type { WebhookSecrets } from '../webhooks/sign.js';
import type { Credentials } from './provider.js';

/** Longest profile file, in bytes. */
const MAX_PROFILE_BYTES = 65_536;
/** Every permission bit but those of 0600. */
const MORE_THAN_0600 = 0o7177;

const text = z.string().min(1);

const koreProfileSchema = z.strictObject({
  clientId: text,
  clientSecret: text,
  apiUrl: text.optional(),
  tokenUrl: text.optional(),
  webhookSecret: text.optional(),
});

const twilioProfileSchema = z.strictObject({
  accountSid: text,
  authToken: text,
  apiUrl: text.optional(),
  // KORE sends all webhooks since November 2024, also those of accounts at Twilio (docs/vendor-facts.md, "KORE: differences").
  webhookSecret: text.optional(),
});

type Profile = z.output<typeof koreProfileSchema> | z.output<typeof twilioProfileSchema>;

/**
 * Loads credentials from the file `profile` when one is named, else from the variables SUPERSIM_CLIENT_ID and
 * SUPERSIM_CLIENT_SECRET (KORE) or SUPERSIM_ACCOUNT_SID and SUPERSIM_AUTH_TOKEN (Twilio), else from the default
 * profile. SUPERSIM_API_URL overrides the file's `apiUrl`. An empty variable counts as not set.
 *
 * @throws SupersimError `no-credentials`, `profile-unsafe`, `bad-input` (the file's content, or variables of
 *   both providers)
 */
export async function loadCredentials(
  { profile }: { profile?: string | undefined } = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<Credentials> {
  const apiUrl = env['SUPERSIM_API_URL'] || undefined;
  const fromVariables = profile === undefined ? credentialsIn(env) : undefined;
  if (fromVariables !== undefined) return withUrl(fromVariables, apiUrl);
  const { apiUrl: own, webhookSecret: _, ...credentials } = await readProfile(profile ?? defaultProfile(env));
  return withUrl(credentials, apiUrl ?? own);
}

/**
 * Loads the secrets that webhooks are signed with from the same places as {@link loadCredentials}:
 * SUPERSIM_WEBHOOK_SECRET, or `webhookSecret` in the file (KORE), and the account's auth token (Twilio; an API key's
 * secret signs no webhooks).
 *
 * @throws SupersimError `no-credentials`, `profile-unsafe`, `bad-input`
 */
export async function loadWebhookSecrets(
  { profile }: { profile?: string | undefined } = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<WebhookSecrets> {
  const fromVariables = secretsOf({
    webhookSecret: env['SUPERSIM_WEBHOOK_SECRET'] || undefined,
    accountSid: env['SUPERSIM_ACCOUNT_SID'],
    authToken: env['SUPERSIM_AUTH_TOKEN'] || undefined,
  });
  if (profile === undefined && fromVariables !== undefined) return fromVariables;
  const path = profile ?? defaultProfile(env);
  const remedy = 'Set SUPERSIM_WEBHOOK_SECRET (KORE), or write `webhookSecret` to the profile.';
  const read = await readProfile(path).catch((error: unknown) => {
    if (!isSupersimError(error, 'no-credentials')) throw error;
    throw new SupersimError('no-credentials', error.message, { cause: error, remedy });
  });
  const fromFile = secretsOf(read);
  if (fromFile !== undefined) return fromFile;
  throw new SupersimError('no-credentials', `the profile ${path} has no secret that webhooks are signed with`, {
    remedy,
  });
}

type Given = { webhookSecret?: string | undefined; accountSid?: string | undefined; authToken?: string | undefined };

function secretsOf({ webhookSecret, accountSid, authToken }: Given): WebhookSecrets | undefined {
  const twilioAuthToken = accountSid?.startsWith('SK') === true ? undefined : authToken;
  if (webhookSecret === undefined && twilioAuthToken === undefined) return undefined;
  return { koreSecret: webhookSecret, twilioAuthToken };
}

/** @throws SupersimError `no-credentials` for an incomplete pair, `bad-input` for two pairs */
function credentialsIn(env: NodeJS.ProcessEnv): Credentials | undefined {
  const kore = pairIn(env, 'SUPERSIM_CLIENT_ID', 'SUPERSIM_CLIENT_SECRET');
  const twilio = pairIn(env, 'SUPERSIM_ACCOUNT_SID', 'SUPERSIM_AUTH_TOKEN');
  if (kore !== undefined && twilio !== undefined) {
    throw new SupersimError('bad-input', 'the variables hold credentials of KORE and of Twilio', {
      remedy: 'Unset SUPERSIM_ACCOUNT_SID and SUPERSIM_AUTH_TOKEN, or SUPERSIM_CLIENT_ID and SUPERSIM_CLIENT_SECRET.',
    });
  }
  if (kore !== undefined) return { clientId: kore[0], clientSecret: kore[1] };
  return twilio && { accountSid: twilio[0], authToken: twilio[1] };
}

function pairIn(env: NodeJS.ProcessEnv, user: string, secret: string): [string, string] | undefined {
  const values: [string | undefined, string | undefined] = [env[user] || undefined, env[secret] || undefined];
  if (values[0] !== undefined && values[1] !== undefined) return [values[0], values[1]];
  if (values[0] === undefined && values[1] === undefined) return undefined;
  throw new SupersimError('no-credentials', `${values[0] === undefined ? user : secret} is not set`);
}

const withUrl = (credentials: Credentials, baseUrl: string | undefined): Credentials =>
  baseUrl === undefined ? credentials : { ...credentials, baseUrl };

async function readProfile(path: string): Promise<Profile> {
  const file = await openProfile(path);
  try {
    const profile = parseYaml(path, await readSafely(path, file));
    const isKore = typeof profile === 'object' && profile !== null && 'clientId' in profile;
    return checkInput(isKore ? koreProfileSchema : twilioProfileSchema, profile, `the profile ${path}`);
  } finally {
    await file.close();
  }
}

async function openProfile(path: string): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const reason = systemCodeOf(error) === 'ENOENT' ? `there is no profile file ${path}` : messageOf(error);
    throw new SupersimError('no-credentials', reason, { cause: error });
  }
}

/** Checks the open file, not the path, which may name another file by now. */
async function readSafely(path: string, file: FileHandle): Promise<string> {
  const stats = await file.stat();
  if (!stats.isFile()) {
    const remedy = 'Name a regular file.';
    throw new SupersimError('profile-unsafe', `the profile ${path} is not a regular file`, { remedy });
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

/** The YAML library's messages quote the lines, which hold secrets: the error tells only the place. */
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
    throw new SupersimError('bad-input', `the profile ${path} is not YAML: an alias cannot be resolved`);
  }
}
