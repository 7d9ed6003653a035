/** Reads figures of a process from /proc. */
import { readFileSync } from 'node:fs';

/** USER_HZ, the unit of the times in /proc/PID/stat: 100 on each architecture that Node runs on. */
const CLOCK_TICKS_PER_SECOND = 100;

/**
 * Returns a size from /proc/PID/status, in KiB.
 *
 * @param {number} pid
 * @param {'VmRSS' | 'RssAnon'} name
 */
export function memoryKiB(pid, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/**
 * Returns the CPU time of a process, user and system, in seconds.
 *
 * @param {number} pid
 */
export const cpuSeconds = (pid) => sumOfTicks(pid, 11);

/**
 * Returns the CPU time of its children that have ended, in seconds.
 *
 * @param {number} pid
 */
export const childrenCpuSeconds = (pid) => sumOfTicks(pid, 13);

/**
 * @param {number} pid
 * @param {number} first where the time in user mode stands behind the name; the one in system mode follows it
 */
function sumOfTicks(pid, first) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(first, first + 2);
  return (Number(user) + Number(system)) / CLOCK_TICKS_PER_SECOND;
}

/**
 * Returns how many datagrams the kernel dropped on a port because its receive buffer was full.
 *
 * @param {number} port
 */
export function kernelDrops(port) {
  const row = readFileSync('/proc/net/udp', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find((columns) => columns[1]?.endsWith(`:${port.toString(16).toUpperCase().padStart(4, '0')}`));
  return Number(row?.at(-1));
}
