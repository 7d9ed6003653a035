import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemCodeOf } from '../../shared/errors.js';

/** Name of the SQLite database in the state folder. SQLite's write-ahead log lies beside it, with `-wal` appended. */
export const DATABASE_NAME = 'journal.db';

/** Returns the folder that systemd gives the service in STATE_DIRECTORY, or the usual one. */
export const defaultStateFolder = ({ STATE_DIRECTORY: folders = '' }: NodeJS.ProcessEnv): string =>
  folders.split(':')[0] || '/var/lib/supersim-agent';

/** Name of the file that holds the journal's identity: with it, and without a journal, the journal was lost. */
export const MARKER_NAME = 'journal.id';

/** Content of the marker while a journal is being created for the first time, so that nothing can have been lost. */
const CREATING = 'new';

/** What the marker of a state folder says: the journal's identity; undefined when there never was a journal. */
export type Marker = { readonly id: string } | 'creating' | undefined;

/** @throws Error when it exists and cannot be read */
export function readMarker(folder: string): Marker {
  try {
    const text = readFileSync(join(folder, MARKER_NAME), 'utf8').trim();
    return text === CREATING ? 'creating' : { id: text };
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Replaces the marker, so that a power cut leaves the old or the new one.
 *
 * @throws Error when it cannot be written
 */
export function writeMarker(folder: string, marker: Exclude<Marker, undefined>): void {
  const path = join(folder, MARKER_NAME);
  const file = openSync(`${path}.new`, 'w', 0o600);
  try {
    writeFileSync(file, `${marker === 'creating' ? CREATING : marker.id}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.new`, path);
  syncFolder(folder);
}

/** Writes the names in a folder to the disk (fsync(2), "does not necessarily ensure that the entry in the directory"). */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
