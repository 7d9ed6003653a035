import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { isatty } from 'node:tty';
import { messageOf, SupersimError, systemCodeOf } from '../../../../shared/errors.js';
import { formatHolder, isAgent, isModemManager, type PortHolder, portHolders } from './port-holders.js';

const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;

/** Why a port cannot be opened. `serialport` says it in words only, so that the system is asked again. */
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
      return new SupersimError('modem-port-missing', `${path} is no serial port`, { cause });
    case undefined:
      // It opens: then it was somebody's lock.
      return /lock/i.test(messageOf(cause)) ? busyError(path, cause) : lostError(path, cause);
    default:
      return new SupersimError('modem-port-missing', `there is no serial port ${path} (${code})`, { cause });
  }
}

/** The port was open, and is not any more. */
export const lostError = (path: string, cause: unknown): SupersimError =>
  new SupersimError('modem-port-lost', `the serial port ${path} failed: ${messageOf(cause)}`, { cause });

/** Somebody else has the port. */
export async function busyError(path: string, cause?: unknown): Promise<SupersimError> {
  const holders = await portHolders(path);
  const who = holders.length === 0 ? 'another program' : holders.map(formatHolder).join(', ');
  const remedy = remedyFor(holders);
  return new SupersimError('modem-port-busy', `the serial port ${path} is in use by ${who}`, {
    cause,
    ...(remedy !== undefined && { remedy }),
  });
}

/** What to do about them, where that is known. */
export function remedyFor(holders: readonly PortHolder[]): string | undefined {
  if (holders.some(isModemManager)) {
    return 'Keep ModemManager off this modem with the udev rule, or stop it: `sudo systemctl disable --now ModemManager`.';
  }
  if (holders.some(isAgent)) {
    return 'The agent uses it: `sudo supersim-agent status` tells of the modem, `sudo supersim-agent modem at` asks it.';
  }
  return undefined;
}

/** The error code of opening it, `no-tty` where it is something else, or undefined when it opens. */
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
    // A user without an entry in the password file.
    return String(process.getuid?.());
  }
}
