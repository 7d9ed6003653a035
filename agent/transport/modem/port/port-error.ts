import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { isatty } from 'node:tty';
import { messageOf, SupersimError, systemCodeOf } from '../../../../shared/errors.js';
import { type FileHolder, formatHolder } from '../../../base/file-holders.js';
import { isAgent, isModemManager, portHolders } from './port-holders.js';

const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;

/**
 * Returns why a port cannot be opened. The error of `serialport` has no code, so the port is opened once more to get
 * one.
 */
export async function openError(path: string, cause: unknown): Promise<SupersimError> {
  const code = await tryOpening(path);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return new SupersimError('modem-port-forbidden', `the user ${userName()} may not open ${path} (${code})`, {
        cause,
      });
    case 'EBUSY':
      return busyError(path, cause);
    case 'no-tty':
      return new SupersimError('modem-port-missing', `${path} is not a serial port`, { cause });
    case undefined:
      // The port opens: then another program's lock was the cause.
      return /lock/i.test(messageOf(cause)) ? busyError(path, cause) : lostError(path, cause);
    default:
      return new SupersimError('modem-port-missing', `there is no serial port ${path} (${code})`, { cause });
  }
}

/** The error of a port that was open and failed. */
export const lostError = (path: string, cause: unknown): SupersimError =>
  new SupersimError('modem-port-lost', `the serial port ${path} failed: ${messageOf(cause)}`, { cause });

/** The error of a port that another program uses. */
export async function busyError(path: string, cause?: unknown): Promise<SupersimError> {
  const holders = await portHolders(path);
  const who = holders.length === 0 ? 'another program' : holders.map(formatHolder).join(', ');
  const remedy = remedyFor(holders);
  return new SupersimError('modem-port-busy', `the serial port ${path} is in use by ${who}`, {
    cause,
    ...(remedy !== undefined && { remedy }),
  });
}

/** Says what to do about programs that use the port, where that is known. */
export function remedyFor(holders: readonly FileHolder[]): string | undefined {
  if (holders.some(isModemManager)) {
    return 'Keep ModemManager off this modem with the udev rule, or stop it: `sudo systemctl disable --now ModemManager`.';
  }
  if (holders.some(isAgent)) {
    return 'The agent uses it: `sudo supersim-agent status` shows the modem, `sudo supersim-agent modem at` sends it a command.';
  }
  return undefined;
}

/** Opens a port to get the error code: `no-tty` where it is no terminal, undefined when it opens. */
async function tryOpening(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    const tty = isatty(file.fd);
    await file.close();
    return tty ? undefined : 'no-tty';
  } catch (error) {
    return systemCodeOf(error) ?? 'unknown';
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // The user has no entry in the password file.
    return String(process.getuid?.());
  }
}
