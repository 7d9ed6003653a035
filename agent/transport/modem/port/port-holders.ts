import { readdir, readFile, readlink, realpath } from 'node:fs/promises';

/** A process that has a port open. */
export interface PortHolder {
  readonly pid: number;
  /** Its name as `ps` shows it. */
  readonly command: string;
  /** The systemd service of the process. */
  readonly service?: string | undefined;
  /** False: this user may not see its open files, but the program is known to open the ports of modems. */
  readonly certain: boolean;
}

/** ModemManager opens every modem that it finds. */
const MODEM_MANAGER = 'ModemManager';
const SERIAL_PORTS = '/dev/tty';

/**
 * Finds the other processes that have a port open. Only root sees the open files of other users' processes; for other
 * users a running ModemManager is listed as not certain.
 */
export async function portHolders(path: string): Promise<PortHolder[]> {
  return holdersOf(await realpath(path).catch(() => path));
}

/** Finds the processes that certainly have a port open and keep others from using it. */
export async function holdersInTheWay(path: string): Promise<readonly PortHolder[]> {
  return inTheWay(
    path,
    (await portHolders(path)).filter(({ certain }) => certain),
  );
}

/** Finds the processes that have a file open, named as in /proc: a device, or `socket:[INODE]`. */
export async function holdersOf(target: string): Promise<PortHolder[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found = await Promise.all(pids.map((pid) => holderOf(pid, target)));
  return found.filter((holder) => holder !== undefined);
}

/**
 * Filters the holders that keep others from using the port. A pseudo-terminal is also open in the program that provides
 * it, and /dev/null in many: of their holders only ModemManager counts.
 */
export async function inTheWay(path: string, holders: readonly PortHolder[]): Promise<readonly PortHolder[]> {
  const device = await realpath(path).catch(() => path);
  return device.startsWith(SERIAL_PORTS) ? holders : holders.filter(isModemManager);
}

/** Formats a holder as `ModemManager (pid 812, ModemManager.service)`. */
export function formatHolder({ pid, command, service, certain }: PortHolder): string {
  const details = [`pid ${pid}`, ...(service === undefined ? [] : [service])].join(', ');
  return `${certain ? '' : 'perhaps '}${command} (${details})`;
}

export const isAgent = ({ service }: PortHolder): boolean => service === 'supersim-agent.service';
export const isModemManager = ({ command }: PortHolder): boolean => command === MODEM_MANAGER;

async function holderOf(pid: string, target: string): Promise<PortHolder | undefined> {
  const certain = await hasOpen(pid, target);
  if (certain === false) return undefined;
  const command = (await readText(`/proc/${pid}/comm`)).trim();
  if (certain === undefined && command !== MODEM_MANAGER) return undefined;
  return { pid: Number(pid), command, service: await serviceOf(pid), certain: certain ?? false };
}

/** @returns undefined where this user may not see the open files */
async function hasOpen(pid: string, target: string): Promise<boolean | undefined> {
  try {
    const folder = `/proc/${pid}/fd`;
    const files = await readdir(folder);
    const targets = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => '')));
    return targets.includes(target);
  } catch {
    return undefined;
  }
}

/** Returns the innermost service of the control group of a process. */
const serviceOf = async (pid: string): Promise<string | undefined> =>
  (await readText(`/proc/${pid}/cgroup`))
    .split(/[/\n]/)
    .filter((part) => part.endsWith('.service'))
    .at(-1);

/** Reads a file of /proc; empty when the process has ended meanwhile. */
const readText = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
