import { readdir, readFile, readlink, realpath } from 'node:fs/promises';

/** A process that has a port open. */
export interface PortHolder {
  readonly pid: number;
  /** Its name, as `ps` shows it. */
  readonly command: string;
  /** The systemd service that it belongs to. */
  readonly service?: string | undefined;
  /** False: this user may not see what it has open, but it is known to take modems' ports. */
  readonly certain: boolean;
}

/** Opens every modem that it finds, and so the first suspect. */
const MODEM_MANAGER = 'ModemManager';
const SERIAL_PORTS = '/dev/tty';

/**
 * Finds who has a port open, this process left out. Of other users' processes only root sees what they have open: to
 * others a ModemManager that runs is a suspect.
 */
export async function portHolders(path: string): Promise<PortHolder[]> {
  return holdersOf(await realpath(path).catch(() => path));
}

/** Those of them that certainly have it, and keep others from using it. */
export async function holdersInTheWay(path: string): Promise<readonly PortHolder[]> {
  return inTheWay(
    path,
    (await portHolders(path)).filter(({ certain }) => certain),
  );
}

/** The same of whatever processes have open, as /proc calls it: a device, or `socket:[INODE]`. */
export async function holdersOf(target: string): Promise<PortHolder[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found = await Promise.all(pids.map((pid) => holderOf(pid, target)));
  return found.filter((holder) => holder !== undefined);
}

/**
 * Those of the holders that are in the way. A pseudo-terminal is also open at whoever provides it, and /dev/null at many:
 * there only ModemManager is.
 */
export async function inTheWay(path: string, holders: readonly PortHolder[]): Promise<readonly PortHolder[]> {
  const device = await realpath(path).catch(() => path);
  return device.startsWith(SERIAL_PORTS) ? holders : holders.filter(isModemManager);
}

/** `ModemManager (pid 812, ModemManager.service)`. */
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

/** @returns undefined where this user may not see it */
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

/** The innermost service of its control group. */
const serviceOf = async (pid: string): Promise<string | undefined> =>
  (await readText(`/proc/${pid}/cgroup`))
    .split(/[/\n]/)
    .filter((part) => part.endsWith('.service'))
    .at(-1);

/** Processes end while they are looked at. */
const readText = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
