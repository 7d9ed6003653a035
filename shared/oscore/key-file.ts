import { createHash } from 'node:crypto';
import * as z from 'zod';
import { COMMAND_NAME, MAX_NAME_LENGTH } from '../command.js';
import { isDeviceId, MASTER_SECRET_BYTES, MAX_KID, type SharedKey } from './identities.js';
import { MAX_KID_CONTEXT_BYTES } from './option.js';

/** A device's key file: what an operator and a device share, and what the device lets the operator do. */
export interface KeyFile extends SharedKey {
  /** The commands that the operator may call: names, or `relay.*` for all below a name; undefined for all. */
  readonly allow: readonly string[] | undefined;
}

const ALL_BELOW = '.*';
const MAX_PATTERNS = 64;
const KEY_ID_DIGITS = 16;

/** Text that may be a secret in the wrong member: the error about that member must not show it. */
const SECRET_LIKE = /^[0-9a-f]{32,}$/i;

/** A device id; the errors about it do not show it. */
export const deviceIdSchema = z
  .string()
  .refine((text) => !SECRET_LIKE.test(text), 'is the device id, not a secret')
  .refine(isDeviceId, `has 1 to ${MAX_KID_CONTEXT_BYTES} characters of printable ASCII`);

/** An operator's Sender ID. */
export const kidSchema = z.int().min(1).max(MAX_KID);

const isPattern = (text: string): boolean => {
  const name = text.endsWith(ALL_BELOW) ? text.slice(0, -ALL_BELOW.length) : text;
  return name.length <= MAX_NAME_LENGTH && COMMAND_NAME.test(name);
};

/** The commands that a key may call. */
export const allowSchema = z
  .array(z.string().refine(isPattern, 'is a command such as relay.set, or relay.* for all below relay'))
  .max(MAX_PATTERNS);

const fileSchema = z.strictObject({
  device: deviceIdSchema,
  kid: kidSchema,
  secret: z
    .string()
    .regex(
      new RegExp(`^[0-9A-Fa-f]{${2 * MASTER_SECRET_BYTES}}$`),
      `has ${2 * MASTER_SECRET_BYTES} hexadecimal digits`,
    ),
  allow: allowSchema.optional(),
});

/**
 * Reads a key file: JSON with `device` (the device id), `kid`, `secret` (the device's master secret, in hexadecimal), and
 * perhaps `allow`.
 *
 * @throws Error when it is not valid; its message shows nothing of the file
 */
export function parseKeyFile(text: string): KeyFile {
  const parsed = fileSchema.safeParse(parseJson(text));
  if (!parsed.success) throw new Error(parsed.error.issues.map(describe).join('; '));
  const { device, kid, secret, allow } = parsed.data;
  return { deviceId: device, kid, masterSecret: Buffer.from(secret, 'hex'), allow };
}

/** Writes a key file, as {@link parseKeyFile} reads it: one line. */
export const formatKeyFile = ({ deviceId, kid, masterSecret, allow }: KeyFile): string =>
  `${JSON.stringify({ device: deviceId, kid, secret: masterSecret.toString('hex'), allow })}\n`;

/** Returns what tells keys apart without showing them: the start of a digest. */
export const keyIdOf = ({ masterSecret, deviceId, kid }: SharedKey): string =>
  createHash('sha256').update(masterSecret).update(`${kid} ${deviceId}`).digest('hex').slice(0, KEY_ID_DIGITS);

/** Tells whether patterns as those of a key file allow a command. */
export const allows = (allow: readonly string[] | undefined, command: string): boolean =>
  allow === undefined ||
  allow.some((pattern) =>
    pattern.endsWith(ALL_BELOW) ? command.startsWith(pattern.slice(0, -1)) : command === pattern,
  );

/** The parser's own message quotes the text. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it is not JSON');
  }
}

const describe = ({ code, path, message }: z.core.$ZodIssue): string => {
  if (code === 'unrecognized_keys') return 'it has a member that is not known';
  return path.length === 0 ? 'it is not a JSON object' : `${path.join('.')}: ${message}`;
};
