import { createHash } from 'node:crypto';
import * as z from 'zod';
import { COMMAND_NAME, MAX_NAME_LENGTH } from '../../shared/command.js';
import { messageOf } from '../../shared/errors.js';
import type { SecurityContext } from '../../shared/oscore/context.js';
import { deviceContext, MASTER_SECRET_BYTES, MAX_KID } from '../../shared/oscore/identities.js';

/** A key that an operator shares with this device. */
export interface DeviceKey {
  /** The name of its file, without `.json`. */
  readonly name: string;
  /** The operator's Sender ID: 1 to 255. */
  readonly kid: number;
  readonly deviceId: string;
  /** The commands that the operator may call: names, or `relay.*` for all below a name; undefined for all. */
  readonly allow: readonly string[] | undefined;
  readonly context: SecurityContext;
  /** Tells keys apart without showing them: the start of a digest. */
  readonly fingerprint: string;
}

const ALL_BELOW = '.*';
const FINGERPRINT_DIGITS = 16;

/** Text that may be a secret in the wrong member: the error about that member must not show it. */
const SECRET_LIKE = /^[0-9a-f]{32,}$/i;

const isPattern = (text: string): boolean => {
  const name = text.endsWith(ALL_BELOW) ? text.slice(0, -ALL_BELOW.length) : text;
  return name.length <= MAX_NAME_LENGTH && COMMAND_NAME.test(name);
};

const keySchema = z.strictObject({
  device: z.string().refine((text) => !SECRET_LIKE.test(text), 'is the device id, not a secret'),
  kid: z.int().min(1).max(MAX_KID),
  secret: z
    .string()
    .regex(
      new RegExp(`^[0-9A-Fa-f]{${2 * MASTER_SECRET_BYTES}}$`),
      `has ${2 * MASTER_SECRET_BYTES} hexadecimal digits`,
    ),
  allow: z
    .array(z.string().refine(isPattern, 'is a command such as relay.set, or relay.* for all below relay'))
    .max(64)
    .optional(),
});

/**
 * Reads a key file: JSON with `device` (the device id), `kid`, `secret` (the device's master secret, in hexadecimal), and
 * perhaps `allow`.
 *
 * @throws Error when it is not valid; its message shows nothing of the file
 */
export function parseKeyFile(name: string, text: string): DeviceKey {
  const parsed = keySchema.safeParse(parseJson(text));
  if (!parsed.success) throw new Error(parsed.error.issues.map(describe).join('; '));
  const { device, kid, secret, allow } = parsed.data;
  const masterSecret = Buffer.from(secret, 'hex');
  const context = contextOf({ masterSecret, deviceId: device, kid });
  const digest = createHash('sha256').update(masterSecret).update(`${kid} ${device}`).digest('hex');
  return { name, kid, deviceId: device, allow, context, fingerprint: digest.slice(0, FINGERPRINT_DIGITS) };
}

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

function contextOf(shared: Parameters<typeof deviceContext>[0]): SecurityContext {
  try {
    return deviceContext(shared);
  } catch (error) {
    throw new Error(`device: ${messageOf(error)}`);
  }
}

/** Tells whether a key may call a command. */
export const mayCall = ({ allow }: DeviceKey, command: string): boolean =>
  allow === undefined ||
  allow.some((pattern) =>
    pattern.endsWith(ALL_BELOW) ? command.startsWith(pattern.slice(0, -1)) : command === pattern,
  );
