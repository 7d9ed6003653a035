import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Number of damaged databases that are kept for inspection; older ones are deleted. */
export const KEPT_DAMAGED = 3;

/** Files of a SQLite database. The log must be renamed with its database, or it would be read into the next one. */
const SUFFIXES = ['', '-wal', '-shm'];

/**
 * Renames a damaged database, and deletes the oldest of those that were set aside before.
 *
 * @returns its new path
 */
export function setAside(path: string, now: Date): string {
  const dated = `${path}.damaged-${now.toISOString()}`;
  let target = dated;
  // A clock that was set back can give the same time twice.
  for (let again = 2; existsSync(target); again++) target = `${dated}.${again}`;
  for (const suffix of SUFFIXES) {
    if (existsSync(path + suffix)) renameSync(path + suffix, target + suffix);
  }
  const kept = damagedFiles(path).filter((file) => !/-(?:wal|shm)$/.test(file));
  for (const old of kept.slice(0, Math.max(0, kept.length - KEPT_DAMAGED))) {
    for (const suffix of SUFFIXES) rmSync(old + suffix, { force: true });
  }
  return target;
}

/** Lists the files that were set aside, oldest first. */
export function damagedFiles(path: string): string[] {
  const folder = dirname(path);
  const start = `${basename(path)}.damaged-`;
  const names = readdirSync(folder).filter((name) => name.startsWith(start));
  return names.sort().map((name) => join(folder, name));
}
