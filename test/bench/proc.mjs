/** What the kernel says of a process. */
import { readFileSync } from 'node:fs';

/** USER_HZ, the unit of the times in /proc/PID/stat: 100 on each architecture that Node runs on. */
const CLOCK_TICKS_PER_SECOND = 100;

/**
 * A size from /proc/PID/status, in KiB.
 *
 * @param {number} pid
 * @param {'VmRSS' | 'RssAnon'} name
 */
export function memoryKiB(pid, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/**
 * Seconds that a process has been on a CPU, in user and in system mode.
 *
 * @param {number} pid
 */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [utime, stime] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(utime) + Number(stime)) / CLOCK_TICKS_PER_SECOND;
}

/**
 * Datagrams that the kernel threw away on a port, for its receive buffer was full.
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
