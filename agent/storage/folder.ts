import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { systemCodeOf } from '../../shared/errors.js';
import { readBootId } from '../base/moment.js';

/** Name of the SQLite database in the state folder. SQLite's write-ahead log lies beside it, with `-wal` appended. */
export const DATABASE_NAME = 'journal.db';

/** Returns the folder that systemd gives the service in STATE_DIRECTORY, or the usual one. */
export const defaultStateFolder = ({ STATE_DIRECTORY: folders = '' }: NodeJS.ProcessEnv): string =>
  folders.split(':')[0] || '/var/lib/supersim-agent';

/** Name of the file that holds the journal's identity: with it, and without a journal, the journal was lost. */
export const MARKER_NAME = 'journal.id';

/** Content of the marker while a journal is being created for the first time, so that nothing can have been lost. */
const CREATING = 'new';

/** Name of the file that holds the count of writes. */
export const COUNT_NAME = 'journal.count';
const COUNT_DIGITS = 16;
/** The number, a space and the boot's ID. */
const MAX_COUNT_BYTES = 64;

/** Keeps the highest number that was committed beside the database, so that a database that was set back is noticed. */
export interface CountFile {
  /** What was in the file; undefined where that is no number. */
  readonly before: number | undefined;
  /** Whether it was written in this boot: then it is the highest, as no power cut has set it back. */
  readonly isCurrent: boolean;
  /** Writes a number that is committed. It is not synced: that would double the time of a commit. */
  write(count: number): void;
  /** Writes a first number where there was none, so that a power cut does not take it. */
  begin(): void;
}

/** @throws Error when it cannot be opened */
export function openCountFile(folder: string): CountFile {
  const file = openSync(join(folder, COUNT_NAME), constants.O_RDWR | constants.O_CREAT, 0o600);
  const content = Buffer.alloc(MAX_COUNT_BYTES);
  const text = content.toString('latin1', 0, readSync(file, content, 0, content.length, 0));
  const digits = text.slice(0, COUNT_DIGITS);
  const before = /^\d{16}$/.test(digits) ? Number(digits) : undefined;
  const boot = readBootId();
  const write = (count: number): void =>
    void writeSync(file, `${String(count).padStart(COUNT_DIGITS, '0')} ${boot}`, 0, 'latin1');
  return {
    before,
    isCurrent: text.slice(COUNT_DIGITS + 1) === boot,
    write,
    begin() {
      if (before !== undefined) return;
      write(0);
      fsyncSync(file);
    },
  };
}

/** An identity, as the marker has it. */
const IDENTITY = /^[0-9a-f]{12}$/;

/**
 * What the marker of a state folder says: the journal's identity; undefined when there is none, or it cannot be
 * understood.
 */
export type Marker = { readonly id: string } | 'creating' | undefined;

/** @throws Error when it exists and cannot be read */
export function readMarker(folder: string): Marker {
  try {
    const text = readFileSync(join(folder, MARKER_NAME), 'utf8').trim();
    if (text === CREATING) return 'creating';
    return IDENTITY.test(text) ? { id: text } : undefined;
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
