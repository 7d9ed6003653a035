import { closeSync, openSync } from 'node:fs';
import { systemCodeOf } from '../../shared/errors.js';

/** Of file descriptors, of processes, and of memory. */
const CODES: readonly (string | undefined)[] = ['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM', 'ENOBUFS'];

/** Tells whether a system error says that there is none left now of what every program needs: it may pass. */
export const isShortage = (error: unknown): boolean => CODES.includes(systemCodeOf(error));

/** A program takes eight while it starts, for its pipes and Node's; the others are for threads that open files then. */
const NEEDED = 16;

/**
 * Checks that file descriptors are left, before a program is started or code is imported: Node does not recover from a
 * shortage in the middle of that. It never closes the pipes of a program that it could not start for this reason, and
 * version 20 never again opens a file whose import has failed.
 *
 * @throws the system's error, such as EMFILE, which {@link isShortage} knows
 */
export function requireDescriptors(): void {
  const opened: number[] = [];
  try {
    while (opened.length < NEEDED) opened.push(openSync('/', 'r'));
  } catch (error) {
    if (isShortage(error)) throw error;
  } finally {
    for (const each of opened) closeSync(each);
  }
}

/**
 * Imports code of the agent's own that is not needed at its start.
 *
 * @param load calls `import` with a literal, which the bundler must see
 * @throws (rejects) as {@link requireDescriptors}
 */
export async function importLater<T>(load: () => Promise<T>): Promise<T> {
  requireDescriptors();
  return load();
}
