import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { type Connection, openConnection, readBlob } from '../../shared/sqlite/connection.js';

/** How long SQLite waits for another process that reads the file (a person with `sqlite3`). */
const BUSY_TIMEOUT_MS = 2000;
/** Bound of the page cache, negative as SQLite counts KiB that way (https://sqlite.org/pragma.html#pragma_cache_size). */
const CACHE_KIB = -1024;
/** The write-ahead log is cut to this after a checkpoint; between two it holds about 1000 pages more. */
const WAL_BYTES = 4 * 1024 * 1024;

/** The file, or what the reader expected of it, is broken: to be set aside. */
export class DamagedError extends Error {
  override readonly name = 'DamagedError';
}

/**
 * Opens a SQLite file (or `:memory:`), makes it durable and checks it.
 *
 * @throws DamagedError when it is damaged, otherwise the library's error
 */
export function connect(path: string): Connection {
  const connection = openConnection(path, BUSY_TIMEOUT_MS);
  try {
    // Not in memory for good: FULL syncs the log at every commit (https://sqlite.org/pragma.html#pragma_synchronous).
    for (const pragma of ['journal_mode = WAL', 'synchronous = FULL']) connection.exec(`PRAGMA ${pragma}`);
    connection.exec(`PRAGMA cache_size = ${CACHE_KIB}; PRAGMA journal_size_limit = ${WAL_BYTES}`);
    // What is wrong is not read: a damaged schema's names need not be UTF-8.
    const [verdict] = connection.all("SELECT count(*) AS bad FROM pragma_quick_check(1) WHERE quick_check <> 'ok'");
    if (!isSound(verdict)) throw new DamagedError('quick_check found damage');
  } catch (error) {
    connection.close();
    throw error;
  }
  return connection;
}

const isSound = (row: unknown): boolean => typeof row === 'object' && row !== null && 'bad' in row && row.bad === 0;

/** Codes that tell of a broken file (https://sqlite.org/rescode.html), also as the start of an extended code. */
const DAMAGE = ['SQLITE_CORRUPT', 'SQLITE_NOTADB', 'SQLITE_FORMAT', 'SQLITE_IOERR_SHORT_READ', 'SQLITE_IOERR_DATA'];

/** Whether the file must be set aside after this error. */
export function isDamage(error: unknown): boolean {
  const code = systemCodeOf(error) ?? '';
  return error instanceof DamagedError || DAMAGE.some((start) => code.startsWith(start));
}

/** Whether the connection is in doubt after this error, and must be opened again. */
export const isInputOutput = (error: unknown): boolean => /^SQLITE_(?:IOERR|CANTOPEN)/.test(systemCodeOf(error) ?? '');

/** Whether only this row was refused, and its transaction goes on. */
export const isConstraint = (error: unknown): boolean => systemCodeOf(error)?.startsWith('SQLITE_CONSTRAINT') === true;

/** What a caller gets for anything that the database says: a full disk, a failing one, a locked file. */
export function storageError(error: unknown): SupersimError<'busy'> {
  const code = systemCodeOf(error);
  return new SupersimError('busy', `the journal cannot be written${code ? ` (${code})` : ''}: ${messageOf(error)}`, {
    cause: error,
    remedy: 'Free space on the disk of the state folder, or see the agent’s log for what is wrong with it.',
  });
}

/** Returns the bytes of a BLOB column. */
export function blob(value: unknown): Buffer {
  const bytes = readBlob(value);
  if (bytes === undefined) throw new DamagedError('a column holds no bytes');
  return bytes;
}
