import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';

/** The interface that takes AT commands on most modems. */
const AT_INTERFACE = /-if02(?:-|$)/;
const USB = /^tty(?:USB|ACM)\d+$/;
/** Names of the UARTs that a HAT of a Raspberry Pi may use. */
const UARTS: readonly string[] = ['serial0', 'ttyAMA0', 'ttyS0'];

/**
 * Lists the serial ports that may belong to a modem, likely ones first: those with a persistent name, and others.
 *
 * @param folder the folder of the devices
 */
export async function findPorts(
  folder = '/dev',
): Promise<readonly [named: readonly string[], others: readonly string[]]> {
  const seen = new Set<string>();
  const byId = (await list(join(folder, 'serial/by-id'))).sort(byInterface);
  const all = await list(folder);
  const usb = all.filter((name) => USB.test(name)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const uarts = UARTS.filter((name) => all.includes(name));
  return [
    await firstNames(
      byId.map((name) => join(folder, 'serial/by-id', name)),
      seen,
    ),
    await firstNames(
      [...usb, ...uarts].map((name) => join(folder, name)),
      seen,
    ),
  ];
}

const byInterface = (a: string, b: string): number =>
  Number(AT_INTERFACE.test(b)) - Number(AT_INTERFACE.test(a)) || a.localeCompare(b, 'en');

const list = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

/** Keeps only the first of several names of a device. */
async function firstNames(paths: readonly string[], seen: Set<string>): Promise<string[]> {
  const first: string[] = [];
  for (const path of paths) {
    const device = await realpath(path).catch(() => path);
    if (!seen.has(device)) first.push(path);
    seen.add(device);
  }
  return first;
}
