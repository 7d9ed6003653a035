import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { type Connection, openConnection, readBlob } from '../../shared/sqlite/connection.js';

/** How long SQLite waits for another process that uses the file, such as `sqlite3`, when it is opened. */
const BUSY_TIMEOUT_MS = 1000;
/** Size of the page cache; a negative number is in KiB (https://sqlite.org/pragma.html#pragma_cache_size). */
const CACHE_KIB = -1024;
/** Size to which a checkpoint truncates the write-ahead log; between checkpoints it has about 1000 pages more. */
const WAL_BYTES = 4 * 1024 * 1024;

/** Writes the log into the database, and empties it. */
export const WRITE_BACK = 'PRAGMA wal_checkpoint(TRUNCATE)';

/** Thrown when the file is damaged and must be set aside. */
export class DamagedError extends Error {
  override readonly name = 'DamagedError';
}

/**
 * Opens a SQLite file (or `:memory:`), and sets it up for durable writes.
 *
 * The file is locked until it is closed (https://sqlite.org/pragma.html#pragma_locking_mode): a second agent cannot run
 * the same commands again, and no reader keeps the log from being written back, so that its size is bounded. With that
 * lock SQLite needs no shared memory (`-shm`), whose loss would end the process.
 *
 * @throws the library's error; with the code `SQLITE_BUSY` when another process uses the file
 */
export function connect(path: string): Connection {
  const connection = openConnection(path, BUSY_TIMEOUT_MS);
  try {
    // FULL syncs the log at every commit (https://sqlite.org/pragma.html#pragma_synchronous).
    for (const pragma of ['locking_mode = EXCLUSIVE', 'journal_mode = WAL', 'synchronous = FULL']) {
      connection.exec(`PRAGMA ${pragma}`);
    }
    connection.exec(`PRAGMA cache_size = ${CACHE_KIB}; PRAGMA journal_size_limit = ${WAL_BYTES}`);
  } catch (error) {
    connection.close();
    throw error;
  }
  return connection;
}

/**
 * Checks the structure of the whole file, which reads all of it.
 *
 * @throws DamagedError when it is damaged
 */
export function checkStructure(connection: Connection): void {
  // The messages of quick_check are not read: names of a damaged schema need not be UTF-8.
  const [verdict] = connection.all("SELECT count(*) AS bad FROM pragma_quick_check(1) WHERE quick_check <> 'ok'");
  if (!isSound(verdict)) throw new DamagedError('quick_check found damage');
}

const isSound = (row: unknown): boolean => typeof row === 'object' && row !== null && 'bad' in row && row.bad === 0;

/** Codes of a damaged file (https://sqlite.org/rescode.html), also as the start of an extended code. */
const DAMAGE = ['SQLITE_CORRUPT', 'SQLITE_NOTADB', 'SQLITE_FORMAT', 'SQLITE_IOERR_SHORT_READ', 'SQLITE_IOERR_DATA'];

/** Whether an error means that the file must be set aside. */
export function isDamage(error: unknown): boolean {
  const code = systemCodeOf(error) ?? '';
  return error instanceof DamagedError || DAMAGE.some((start) => code.startsWith(start));
}

/** Whether an error means that the file must be opened again. */
export const isInputOutput = (error: unknown): boolean => /^SQLITE_(?:IOERR|CANTOPEN)/.test(systemCodeOf(error) ?? '');

/** Returns the error for a caller when the database fails: a full, failing or read-only disk, a locked file. */
export const storageError = (reason: string): SupersimError<'busy'> =>
  new SupersimError('busy', `the journal cannot be written: ${reason}`, {
    remedy: /\bfull\b|ENOSPC|EDQUOT/.test(reason)
      ? 'Free space on the disk of the state folder.'
      : 'See what `supersim-agent doctor` and the agent’s log say about the state folder and its disk.',
  });

/** Returns a line that says what a failed call of the system or of SQLite reported. */
export function reasonOf(error: unknown): string {
  const code = systemCodeOf(error);
  const message = messageOf(error);
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}

/** Returns the bytes of a BLOB column. */
export function blob(value: unknown): Buffer {
  const bytes = readBlob(value);
  if (bytes === undefined) throw new DamagedError('a BLOB column has another type');
  return bytes;
}
