import { loadNative, type SqlValue, type StatementHandle } from './native.js';

/** One open SQLite file. Everything is synchronous, and throws libsql's errors. */
export interface Connection {
  /** Runs statements that return nothing and are run once. */
  exec(sql: string): void;
  /** @returns how many rows it changed */
  run(sql: string, values?: readonly SqlValue[]): number;
  /**
   * Returns rows as libsql gives them, to be checked by the reader. A TEXT column must be read as
   * `CAST(x AS BLOB)`: text that is no UTF-8, which a damaged file may hold, ends the whole process.
   */
  all(sql: string, values?: readonly SqlValue[]): unknown[];
  /** Returns the first of them. */
  get(sql: string, values?: readonly SqlValue[]): unknown;
  readonly inTransaction: boolean;
  /** Closes the file; its write-ahead log stays beside it unless it was checkpointed before. */
  close(): void;
}

/** How many rows are fetched at once. */
const BATCH_ROWS = 100;

/**
 * Opens a SQLite file, or `:memory:`, and avoids the calls that end the process in libsql.
 *
 * @param timeoutMs how long SQLite waits for another process that uses the file (a person with `sqlite3`)
 */
export function openConnection(path: string, timeoutMs: number): Connection {
  const native = loadNative();
  // No token, no encryption: what libsql has for remote databases is not used.
  const database = native.databaseOpen(path, '', 'aes256cbc', '', timeoutMs, '');
  // Each SQL text is compiled once. All are constants of this program, so that there are few.
  const statements = new Map<string, StatementHandle>();
  let closed = false;

  function prepared(sql: string): StatementHandle {
    refuseClosed();
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = native.databasePrepareSync.call(database, sql);
      statements.set(sql, statement);
    }
    return statement;
  }

  function refuseClosed(): void {
    if (closed) throw new Error('the database is closed');
  }

  return {
    exec(sql) {
      refuseClosed();
      native.databaseExecSync.call(database, sql);
    },
    // The values always as one array: libsql ends the process on a lone Buffer.
    run: (sql, values = []) => native.statementRun.call(prepared(sql), values).changes,
    all(sql, values = []) {
      const cursor = native.statementRowsSync.call(prepared(sql), values);
      const rows: unknown[] = [];
      for (;;) {
        const batch = new Array<unknown>(BATCH_ROWS);
        native.rowsNext.call(cursor, batch);
        for (const row of batch) {
          if (row === undefined) return rows;
          rows.push(row);
        }
      }
    },
    get: (sql, values = []) => native.statementGet.call(prepared(sql), values),
    get inTransaction() {
      // To ask a closed database would end the process.
      return !closed && native.databaseInTransaction(database);
    },
    close() {
      if (closed) return;
      closed = true;
      statements.clear();
      // Compiled statements keep the file open until they are collected, so that SQLite does not checkpoint its log now.
      native.databaseClose.call(database);
    },
  };
}

/** Runs `work` in a transaction: all that it writes, or, when it throws, nothing. */
export function transaction<T>(connection: Connection, work: () => T): T {
  try {
    connection.run('BEGIN IMMEDIATE');
    const result = work();
    connection.run('COMMIT');
    return result;
  } catch (error) {
    rollBack(connection);
    throw error;
  }
}

/** Ends a transaction that has failed, which SQLite may have done already. */
export function rollBack(connection: Connection): void {
  try {
    if (connection.inTransaction) connection.run('ROLLBACK');
  } catch {
    // The error before says more.
  }
}

/**
 * Returns the bytes of a BLOB column, which libsql gives as a Buffer or an ArrayBuffer; undefined for anything else.
 */
export function readBlob(value: unknown): Buffer | undefined {
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return undefined;
}

/**
 * Takes SQLite's lock on an empty file, which is never written. The kernel frees it when the process ends, however that
 * ends. Unlocking leaves the file: deleting it could remove the lock that another process has just taken.
 *
 * @returns what unlocks it
 * @throws libsql's error; with the code `SQLITE_BUSY` when another process holds the lock
 */
export function lockFile(path: string): () => void {
  const holder = openConnection(path, 0);
  // In memory, so that no file is needed for a rollback that never comes: it can be held on a full disk too.
  holder.exec('PRAGMA journal_mode = MEMORY');
  holder.exec('BEGIN EXCLUSIVE');
  return holder.close;
}
