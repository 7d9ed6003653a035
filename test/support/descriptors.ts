import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';

const ENOUGH = 1000;
/** Most that are held open for a shortage. */
const SPARE = 64;

/** The file descriptors that a process has open. */
export const openDescriptors = (pid: number): number[] => readdirSync(`/proc/${pid}/fd`).map(Number);

const setLimit = (pid: number, limit: number) =>
  void execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`]);

/** Lets another process open only so many files more; without a count, as many as most have. Needs prlimit. */
export function leaveDescriptors(pid: number, count = ENOUGH): void {
  const taken = new Set(openDescriptors(pid));
  // The kernel gives the lowest free number, if that is below the limit.
  let limit = 0;
  for (let free = 0; free < count || taken.has(limit); limit++) if (!taken.has(limit)) free++;
  setLimit(pid, limit);
}

/**
 * Lets this process open only so many files more while it does something, by a low limit and files that are held open:
 * below its limit it could not start what raises that again. Needs prlimit.
 */
export async function withDescriptors<T>(count: number, work: () => T | Promise<T>): Promise<T> {
  setLimit(process.pid, Math.max(...openDescriptors(process.pid)) + SPARE);
  const held: number[] = [];
  try {
    for (;;) held.push(openSync('/dev/null', 'r'));
  } catch {
    // All are taken.
  }
  for (const each of held.splice(0, count)) closeSync(each);
  try {
    return await work();
  } finally {
    for (const each of held) closeSync(each);
    setLimit(process.pid, ENOUGH);
  }
}
