import { rmSync } from 'node:fs';
import type Libsql from 'libsql';
import { messageOf, SupersimError } from '../../shared/errors.js';

/** Not boolean or undefined: the library ends the whole process on one. */
export type SqlValue = string | number | Uint8Array | null;

export interface Database {
  exec(sql: string): void;
  /** @returns how many rows it changed */
  run(sql: string, values?: readonly SqlValue[]): number;
  all(sql: string, values?: readonly SqlValue[]): unknown[];
  /** Ends a transaction that has failed. */
  rollBack(): void;
  close(): void;
}

/** How long SQLite waits for another process that reads the file (a person with `sqlite3`). */
const BUSY_TIMEOUT_MS = 10_000;

/**
 * Opens a SQLite file, durable (WAL, `synchronous=FULL`), for this process alone to write: a file `PATH.lock` stands
 * beside it meanwhile. Others may read it.
 *
 * @throws SupersimError `bad-input`
 */
export async function openDatabase(path: string): Promise<Database> {
  const { default: library } = await import('libsql');
  const unlock = lock(library, `${path}.lock`);
  try {
    const database = new library(path, { timeout: BUSY_TIMEOUT_MS });
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    return connect(database, unlock);
  } catch (error) {
    unlock();
    throw notUsable(path, error);
  }
}

function connect(database: Libsql.Database, unlock: () => void): Database {
  const statements = new Map<string, Libsql.Statement>();
  // Each SQL text is compiled once. All are constants of this program, so that there are few.
  const prepared = (sql: string) => {
    const statement = statements.get(sql) ?? database.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  return {
    exec: (sql) => void database.exec(sql),
    // The values always as one array: the library ends the process on a lone Buffer.
    run: (sql, values = []) => prepared(sql).run(values).changes,
    all: (sql, values = []) => prepared(sql).all(values),
    rollBack() {
      if (database.inTransaction) database.exec('ROLLBACK');
    },
    close() {
      statements.clear();
      database.close();
      unlock();
    },
  };
}

/** A lock that ends with the process, however that ends. */
function lock(library: typeof Libsql, path: string): () => void {
  try {
    const holder = new library(path);
    holder.exec('BEGIN EXCLUSIVE');
    return () => {
      rmSync(path, { force: true });
      holder.close();
    };
  } catch (error) {
    throw notUsable(path.replace(/\.lock$/, ''), error);
  }
}

export const notUsable = (path: string, cause: unknown) =>
  new SupersimError('bad-input', `${path} cannot be used: ${messageOf(cause)}`, {
    cause,
    remedy: 'Look whether another broadcast goes on with this file, and whether it is the file of one.',
  });
