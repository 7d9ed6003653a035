import { realpath } from 'node:fs/promises';
import { type FileHolder, holdersOf } from '../../../base/file-holders.js';

/** ModemManager opens every modem that it finds. */
const MODEM_MANAGER = 'ModemManager';
const SERIAL_PORTS = '/dev/tty';

/**
 * Finds the other processes that have a port open. Only root sees the open files of other users' processes; for other
 * users a running ModemManager is listed as not certain.
 */
export async function portHolders(path: string): Promise<FileHolder[]> {
  return holdersOf([await realpath(path).catch(() => path)], (command) => command === MODEM_MANAGER);
}

/** Finds the processes that certainly have a port open and keep others from using it. */
export async function holdersInTheWay(path: string): Promise<readonly FileHolder[]> {
  return inTheWay(
    path,
    (await portHolders(path)).filter(({ certain }) => certain),
  );
}

/**
 * Filters the holders that keep others from using the port. A pseudo-terminal is also open in the program that provides
 * it, and /dev/null in many: of their holders only ModemManager counts.
 */
export async function inTheWay(path: string, holders: readonly FileHolder[]): Promise<readonly FileHolder[]> {
  const device = await realpath(path).catch(() => path);
  return device.startsWith(SERIAL_PORTS) ? holders : holders.filter(isModemManager);
}

export const isAgent = ({ service }: FileHolder): boolean => service === 'supersim-agent.service';
export const isModemManager = ({ command }: FileHolder): boolean => command === MODEM_MANAGER;
