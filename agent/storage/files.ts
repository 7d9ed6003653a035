import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection } from '../../shared/sqlite/connection.js';
import {
  type CountFile,
  DATABASE_NAME,
  type Marker,
  openCountFile,
  readMarker,
  syncFolder,
  writeMarker,
} from './folder.js';
import { createDatabase, openExisting } from './schema.js';
import { setAside } from './set-aside.js';
import { connect, DamagedError, isDamage, reasonOf, WRITE_BACK } from './sqlite.js';

/** A larger database is not copied to be read. */
const MAX_COPIED_BYTES = 256 * 1024 * 1024;

/** A database file that was opened, and what was found. */
export interface OpenedFile {
  readonly connection: Connection;
  /** False for a copy that can only be read, as the folder cannot be written. */
  readonly writable: boolean;
  /** Why it can only be read. */
  readonly reason?: string | undefined;
  /** Whether it was just created. */
  readonly created: boolean;
  readonly marker: Marker;
  /** Why the database that was there cannot be read; it was set aside. */
  readonly damage?: { readonly cause: string; readonly path: string } | undefined;
  /** The count of writes; undefined where it can only be read. */
  readonly count: CountFile | undefined;
  /** Compares the open file with its name in the folder. @throws DamagedError when the file's end is gone */
  readonly missing: () => string | undefined;
}

/**
 * Opens the database of a state folder, or creates it. A damaged one is set aside. Where the folder cannot be written, a
 * copy of the database is opened, so that what it remembers is still known.
 *
 * @param writeBack see `WorkerSetup`
 * @throws the error of the system or of SQLite when it can be neither written nor read
 */
export function openDatabaseFile(folder: string, now: Date, writeBack: boolean): OpenedFile {
  const path = join(folder, DATABASE_NAME);
  try {
    // Otherwise the folders above would be created as root's where a service's user cannot.
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK | constants.X_OK);
    const file = openWritable(folder, path, now);
    if (writeBack) file.connection.get(WRITE_BACK);
    return file;
  } catch (error) {
    if (isInUse(error) || !existsSync(path)) throw error;
    return openCopy(folder, path, reasonOf(error));
  }
}

const isInUse = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY';

function openWritable(folder: string, path: string, now: Date): OpenedFile {
  const marker = readMarker(folder);
  let damage: OpenedFile['damage'];
  if (existsSync(path)) {
    try {
      const connection = openExisting(path);
      return { connection, writable: true, created: false, marker, count: openCountFile(folder), missing: watch(path) };
    } catch (error) {
      // What the file has while it is being created for the first time is no damage.
      if (!isDamage(error)) throw error;
      const cause = reasonOf(error);
      const target = setAside(path, now);
      if (marker !== 'creating') damage = { cause, path: target };
    }
  }
  if (marker === undefined && damage === undefined) writeMarker(folder, 'creating');
  const connection = createDatabase(path);
  syncFolder(folder);
  const count = openCountFile(folder);
  return { connection, writable: true, created: true, marker, damage, count, missing: watch(path) };
}

/**
 * SQLite cannot read a database with a write-ahead log in a folder that it cannot write
 * (https://sqlite.org/wal.html#read_only_databases), so that a copy is read. It is deleted at once, and stays readable as
 * long as it is open.
 */
function openCopy(folder: string, path: string, reason: string): OpenedFile {
  const names = ['', '-wal'].filter((suffix) => existsSync(path + suffix));
  const bytes = names.reduce((sum, suffix) => sum + statSync(path + suffix).size, 0);
  if (bytes > MAX_COPIED_BYTES) throw new Error(`${reason}; its ${bytes} bytes are too many to be copied`);
  const copies = mkdtempSync(join(tmpdir(), 'supersim-journal-'));
  try {
    const copy = join(copies, DATABASE_NAME);
    for (const suffix of names) copyFileSync(path + suffix, copy + suffix);
    const connection = openExisting(copy);
    return {
      connection,
      writable: false,
      reason,
      created: false,
      marker: readMarker(folder),
      count: undefined,
      missing: () => undefined,
    };
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
}

/**
 * Watches whether the open database still is what its name says: SQLite would go on writing into a deleted file.
 *
 * @returns a function that names the file which is gone, or another one by now; undefined when both are there
 */
function watch(path: string): () => string | undefined {
  const log = `${path}-wal`;
  let database = statOf(path);
  let writeAhead = statOf(log);
  return () => {
    const found = statOf(path);
    if (found === undefined || !isSame(found, database)) return path;
    if (found.size < (database?.size ?? 0)) {
      throw new DamagedError(`the database shrank from ${database?.size} to ${found.size} bytes`);
    }
    database = found;
    const foundLog = statOf(log);
    // The log is created by the first write.
    if (writeAhead !== undefined && !isSame(foundLog, writeAhead)) return log;
    writeAhead = foundLog;
    return undefined;
  };
}

const statOf = (path: string): Stats | undefined => statSync(path, { throwIfNoEntry: false });

const isSame = (one: Stats | undefined, other: Stats | undefined): boolean =>
  one?.ino === other?.ino && one?.dev === other?.dev;

/** @throws the error of SQLite when another process uses this database */
function expectUnused(path: string): void {
  try {
    connect(path).close();
  } catch (error) {
    if (isInUse(error)) throw error;
  }
}

/**
 * Writes the open database, whose file was deleted or replaced, into its folder again. It must be opened anew then.
 *
 * @throws the error of the system or of SQLite when it cannot be written
 */
export function writeAgain(connection: Connection, folder: string, now: Date): void {
  const path = join(folder, DATABASE_NAME);
  const copy = `${path}.new`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (existsSync(path)) {
    expectUnused(path);
    setAside(path, now);
  }
  rmSync(copy, { force: true });
  connection.run('VACUUM INTO ?', [copy]);
  const file = openSync(copy, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  // A log without its database would be read into the next one.
  rmSync(`${path}-wal`, { force: true });
  renameSync(copy, path);
  syncFolder(folder);
}
