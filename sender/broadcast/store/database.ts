import { messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';
import { type Connection, lockFile, openConnection, transaction } from '../../../shared/sqlite/connection.js';
import { createGroupCommitter } from '../../../shared/sqlite/group-commit.js';
import type { SqlValue } from '../../../shared/sqlite/native.js';

export interface BroadcastDatabase extends Pick<Connection, 'exec' | 'run' | 'all'> {
  /** Lets others read the file meanwhile (write-ahead log), until it is closed. */
  share(): void;
  /**
   * Does all of it or nothing.
   *
   * @throws SupersimError `bad-input` when it cannot be written, as on a full disk
   */
  transaction(work: () => void): void;
  /** Writes soon, together with what else is written until then. Resolves when it is on the disk. */
  write(sql: string, values: readonly SqlValue[]): Promise<void>;
  /** Writes what still waits, and closes the file. */
  close(): void;
}

interface Write {
  readonly sql: string;
  readonly values: readonly SqlValue[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How long SQLite waits for another process that reads the file (a person with `sqlite3`). */
const BUSY_TIMEOUT_MS = 10_000;

/**
 * Opens a SQLite file, durable (`synchronous=FULL`), for this process alone to write: it holds a lock on an empty file
 * `PATH.lock` meanwhile. Others may read it.
 *
 * @throws SupersimError `bad-input`
 */
export async function openBroadcastDatabase(path: string): Promise<BroadcastDatabase> {
  const unlock = lock(path);
  let connection: Connection | undefined;
  try {
    connection = openConnection(path, BUSY_TIMEOUT_MS);
    connection.exec('PRAGMA synchronous = FULL');
    return databaseOf(connection, path, unlock);
  } catch (error) {
    connection?.close();
    unlock();
    throw notUsable(path, error);
  }
}

function databaseOf(connection: Connection, path: string, unlock: () => void): BroadcastDatabase {
  const committer = createGroupCommitter<Write>((writes) => {
    try {
      write(() => {
        for (const { sql, values } of writes) connection.run(sql, values);
      });
    } catch (error) {
      for (const { reject } of writes) reject(error);
      return;
    }
    for (const { resolve } of writes) resolve();
  });
  let closed = false;

  function write(work: () => void): void {
    try {
      transaction(connection, work);
    } catch (error) {
      throw cannotWrite(path, error);
    }
  }

  return {
    exec: connection.exec,
    run: connection.run,
    all: connection.all,
    share: () => connection.exec('PRAGMA journal_mode = WAL'),
    transaction: write,
    write: (sql, values) =>
      new Promise((resolve, reject) => {
        committer.add({ sql, values, resolve, reject });
      }),
    close() {
      if (closed) return;
      committer.flush();
      closed = true;
      try {
        // One file is left, which can be copied; libsql does not do it when it closes.
        connection.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        connection.exec('PRAGMA journal_mode = DELETE');
      } catch {
        // Another program has the file open: the data is in the file and its log, which must stay together.
      }
      connection.close();
      unlock();
    },
  };
}

function lock(path: string): () => void {
  try {
    return lockFile(`${path}.lock`);
  } catch (error) {
    if (systemCodeOf(error) !== 'SQLITE_BUSY') throw notUsable(path, error);
    throw new SupersimError('bad-input', `another process runs the broadcast in ${path}`, {
      cause: error,
      remedy: 'Wait until it ends, or end it.',
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
    remedy: 'Check whether its disk is full, then resume the broadcast with --resume.',
  });
