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
  statfsSync,
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
  /** Undefined for a copy. */
  readonly watch: Watch | undefined;
}

/** With less free space nothing is written. */
export const MIN_FREE_BYTES = 128 * 1024;
/** A batch takes at most so many times its own size in the log: pages are written whole. */
const LOG_PER_BATCH = 4;

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
    if (writeBack) {
      file.connection.get(WRITE_BACK);
      // The log is shorter now.
      file.watch?.note();
    }
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
      return {
        connection,
        writable: true,
        created: false,
        marker,
        count: openCountFile(folder),
        watch: createWatch(path),
      };
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
  return { connection, writable: true, created: true, marker, damage, count, watch: createWatch(path) };
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
      watch: undefined,
    };
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
}

/** Watches whether the open database still is what its name says: SQLite would go on writing into a deleted file. */
interface Watch {
  /**
   * Names the file which is gone, or another one by now; undefined when both are there.
   *
   * @throws DamagedError when the end of a file is gone
   */
  missing(): string | undefined;
  /** Notes how long the log is after what SQLite did: it grows, and is cut. */
  note(): void;
}

function createWatch(path: string): Watch {
  const log = `${path}-wal`;
  let database = statOf(path);
  let writeAhead = statOf(log);
  return {
    missing() {
      const found = statOf(path);
      if (found === undefined || !isSame(found, database)) return path;
      expectWhole('database', database, found);
      database = found;
      const foundLog = statOf(log);
      // The log is created by the first write.
      if (writeAhead !== undefined && !isSame(foundLog, writeAhead)) return log;
      expectWhole('log', writeAhead, foundLog);
      return undefined;
    },
    note() {
      const found = statOf(log);
      if (writeAhead === undefined || isSame(found, writeAhead)) writeAhead = found;
    },
  };
}

function expectWhole(what: string, before: Stats | undefined, found: Stats | undefined): void {
  const [size, now] = [before?.size ?? 0, found?.size ?? 0];
  if (now < size) throw new DamagedError(`the ${what} shrank from ${size} to ${now} bytes`);
}

/**
 * Makes room for a batch: what is in the log can always be written into the database, which grows by as much at most.
 * On a disk that is full of the log, nothing could be written any more, nor the log be emptied.
 *
 * @param bytes size of the batch
 * @throws Error when there is too little
 */
export function makeRoom(connection: Connection, folder: string, bytes: number): void {
  const batch = bytes * LOG_PER_BATCH;
  const log = statOf(join(folder, `${DATABASE_NAME}-wal`))?.size ?? 0;
  if (freeBytes(folder) >= MIN_FREE_BYTES + log + 2 * batch) return;
  connection.get(WRITE_BACK);
  const free = freeBytes(folder);
  const needed = MIN_FREE_BYTES + 2 * batch;
  if (free < needed) throw new Error(`the disk is full: ${free} bytes are free, ${needed} are needed`);
}

function freeBytes(folder: string): number {
  const { bavail, blocks, bsize } = statfsSync(folder);
  // A file system that does not tell its size.
  return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
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
