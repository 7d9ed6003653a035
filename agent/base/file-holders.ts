import { readdir, readFile, readlink } from 'node:fs/promises';

/** A process that has a file open. */
export interface FileHolder {
  readonly pid: number;
  /** Its name as `ps` shows it. */
  readonly command: string;
  /** The systemd service of the process. */
  readonly service?: string | undefined;
  /** False: this user may not see its open files, but the program is known to open such files. */
  readonly certain: boolean;
}

/**
 * Finds the other processes that have a file open. Only root sees the open files of other users' processes.
 *
 * @param targets the names of the file in /proc: a path, with ` (deleted)` behind it once it is, or `socket:[INODE]`
 * @param isLikely whether a process whose open files this user may not see is listed, as not certain
 */
export async function holdersOf(
  targets: readonly string[],
  isLikely: (command: string) => boolean = () => false,
): Promise<FileHolder[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found = await Promise.all(pids.map((pid) => holderOf(pid, targets, isLikely)));
  return found.filter((holder) => holder !== undefined);
}

/** Formats a holder as `ModemManager (pid 812, ModemManager.service)`. */
export function formatHolder({ pid, command, service, certain }: FileHolder): string {
  const details = [`pid ${pid}`, ...(service === undefined ? [] : [service])].join(', ');
  return `${certain ? '' : 'perhaps '}${command} (${details})`;
}

async function holderOf(
  pid: string,
  targets: readonly string[],
  isLikely: (command: string) => boolean,
): Promise<FileHolder | undefined> {
  const certain = await hasOpen(pid, targets);
  if (certain === false) return undefined;
  const command = (await readText(`/proc/${pid}/comm`)).trim();
  if (certain === undefined && !isLikely(command)) return undefined;
  return { pid: Number(pid), command, service: await serviceOf(pid), certain: certain ?? false };
}

/** @returns undefined where this user may not see the open files */
async function hasOpen(pid: string, targets: readonly string[]): Promise<boolean | undefined> {
  try {
    const folder = `/proc/${pid}/fd`;
    const files = await readdir(folder);
    const names = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => '')));
    return names.some((name) => targets.includes(name));
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
