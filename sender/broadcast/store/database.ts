import { messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';
import {
  loadLibsql,
  openSqlite,
  type SqliteFile,
  type SqliteStatement,
  type SqlValue,
} from '../../../shared/sqlite/libsql.js';

export interface Database {
  exec(sql: string): void;
  /** Lets others read the file meanwhile (write-ahead log), until it is closed. */
  share(): void;
  /** @returns how many rows it changed */
  run(sql: string, values?: readonly SqlValue[]): number;
  all(sql: string, values?: readonly SqlValue[]): unknown[];
  /**
   * Does all of it or nothing.
   *
   * @throws SupersimError `bad-input` when it cannot be written, as on a full disk
   */
  transaction(work: () => void): void;
  close(): void;
}

/** How long SQLite waits for another process that reads the file (a person with `sqlite3`). */
const BUSY_TIMEOUT_MS = 10_000;

/**
 * Opens a SQLite file, durable (`synchronous=FULL`), for this process alone to write: it holds a lock on an empty file
 * `PATH.lock` meanwhile, which ends with the process however that ends. Others may read it.
 *
 * @throws SupersimError `bad-input`
 */
export async function openDatabase(path: string): Promise<Database> {
  loadLibsql();
  const unlock = lock(path);
  let opened: SqliteFile | undefined;
  try {
    opened = openSqlite(path, BUSY_TIMEOUT_MS);
    opened.exec('PRAGMA synchronous = FULL');
    return connect(opened, path, unlock);
  } catch (error) {
    opened?.close();
    unlock();
    throw notUsable(path, error);
  }
}

function connect(database: SqliteFile, path: string, unlock: () => void): Database {
  const statements = new Map<string, SqliteStatement>();
  // Each SQL text is compiled once. All are constants of this program, so that there are few.
  const prepared = (sql: string) => {
    const statement = statements.get(sql) ?? database.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  let closed = false;

  return {
    exec: (sql) => void database.exec(sql),
    share: () => void database.exec('PRAGMA journal_mode = WAL'),
    run: (sql, values = []) => prepared(sql).run(values),
    all: (sql, values = []) => prepared(sql).all(values),
    transaction(work) {
      // To ask a closed database whether it is in a transaction would end the process.
      if (closed) throw notUsable(path, 'it is closed');
      try {
        database.exec('BEGIN IMMEDIATE');
        work();
        database.exec('COMMIT');
      } catch (error) {
        if (database.inTransaction) database.exec('ROLLBACK');
        throw cannotWrite(path, error);
      }
    },
    close() {
      if (closed) return;
      closed = true;
      statements.clear();
      try {
        // One file is left, which can be copied; the library does not do it when it closes.
        database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        database.exec('PRAGMA journal_mode = DELETE');
      } catch {
        // Somebody has it open: all is in the file and its log, which belong together.
      }
      database.close();
      unlock();
    },
  };
}

/** The lock's file stays, empty: to delete it could take away the lock of who has just taken it. */
function lock(path: string): () => void {
  try {
    const holder = openSqlite(`${path}.lock`, 0);
    // No file for a rollback that never comes.
    holder.exec('PRAGMA journal_mode = MEMORY');
    holder.exec('BEGIN EXCLUSIVE');
    return () => void holder.close();
  } catch (error) {
    if (systemCodeOf(error) !== 'SQLITE_BUSY') throw notUsable(path, error);
    throw new SupersimError('bad-input', `another process goes on with ${path}`, {
      cause: error,
      remedy: 'Wait for its end, or end it.',
    });
  }
}

export const notUsable = (path: string, cause: unknown) =>
  new SupersimError('bad-input', `${path} cannot be used: ${messageOf(cause)}`, {
    cause,
    remedy: 'Name the file of a broadcast, in a folder where this user may write.',
  });

const cannotWrite = (path: string, cause: unknown) =>
  new SupersimError('bad-input', `${path} cannot be written: ${messageOf(cause)}`, {
    cause,
    remedy: 'Look whether its disk is full, then go on with it by --resume.',
  });
