import type { SecurityContext } from '../../shared/oscore/context.js';
import { deviceContext } from '../../shared/oscore/identities.js';
import { allows, keyIdOf, parseKeyFile as parseShared } from '../../shared/oscore/key-file.js';

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

/**
 * Reads a key file into the key as the device uses it.
 *
 * @throws Error when it is not valid; its message shows nothing of the file
 */
export function parseKeyFile(name: string, text: string): DeviceKey {
  const key = parseShared(text);
  const { kid, deviceId, allow } = key;
  return { name, kid, deviceId, allow, context: deviceContext(key), fingerprint: keyIdOf(key) };
}

/** Tells whether a key may call a command. */
export const mayCall = ({ allow }: DeviceKey, command: string): boolean => allows(allow, command);
