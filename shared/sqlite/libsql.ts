import { closeSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';

/** A value in a row. Not a boolean or undefined: the native code ends the whole process on one. */
export type SqlValue = string | number | Uint8Array | null;

/** A compiled SQL statement. The values are always one array: the native code ends the process on a lone Buffer. */
export interface SqliteStatement {
  /** @returns how many rows it changed */
  run(values: readonly SqlValue[]): number;
  all(values: readonly SqlValue[]): unknown[];
  get(values: readonly SqlValue[]): unknown;
}

/** An open SQLite file. */
export interface SqliteFile {
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  readonly inTransaction: boolean;
  /** Compiled statements keep the file open, and locked, until they are collected as garbage. */
  close(): void;
}

/**
 * Loads the native code of `libsql`, whose platform package is required by name: 2 ms. The JavaScript of `libsql` takes
 * 13 ms, most of them for a diagnostic report that tells it which C library there is. Its index.js shows how the native
 * functions are called; compare it when the version of the packages changes.
 *
 * @throws Error where there is no package for this platform, or it is not installed
 */
export function loadLibsql(): NativeFunctions {
  native ??= requireNative();
  return native;
}

let native: NativeFunctions | undefined;

function requireNative(): NativeFunctions {
  const { platform, arch, execPath } = process;
  return createRequire(import.meta.url)(nativePackage(platform, arch, () => isMuslProgram(execPath)));
}

/**
 * Opens a SQLite file, or `:memory:`.
 *
 * @param timeoutMs how long to wait for another process that has locked the file
 * @throws Error whose `code` is SQLite's, such as `SQLITE_BUSY`; so do all methods
 */
export function openSqlite(path: string, timeoutMs: number): SqliteFile {
  const functions = loadLibsql();
  // No token, encryption or replication: all that is for remote databases.
  let handle: DatabaseHandle | undefined = functions.databaseOpen(path, '', 'aes256cbc', '', timeoutMs, '');

  // The native code ends the process when it is called with a closed database.
  function open(): DatabaseHandle {
    if (handle === undefined) throw new Error(`${path} is closed`);
    return handle;
  }

  return {
    exec: (sql) => functions.databaseExecSync.call(open(), sql),
    prepare: (sql) => statement(functions, functions.databasePrepareSync.call(open(), sql)),
    get inTransaction() {
      return handle !== undefined && functions.databaseInTransaction(handle);
    },
    close() {
      if (handle !== undefined) functions.databaseClose.call(handle);
      handle = undefined;
    },
  };
}

function statement(functions: NativeFunctions, handle: StatementHandle): SqliteStatement {
  return {
    run: (values) => functions.statementRun.call(handle, values).changes,
    get: (values) => functions.statementGet.call(handle, values),
    all(values) {
      const cursor = functions.statementRowsSync.call(handle, values);
      const rows: unknown[] = [];
      for (;;) {
        // The native code fills the array from its start, and leaves the rest as it is.
        const batch = new Array<unknown>(BATCH_ROWS);
        functions.rowsNext.call(cursor, batch);
        for (const row of batch) {
          if (row === undefined) return rows;
          rows.push(row);
        }
      }
    },
  };
}

const BATCH_ROWS = 100;

declare const database: unique symbol;
declare const compiled: unique symbol;
declare const cursor: unique symbol;
type DatabaseHandle = { readonly [database]: true };
type StatementHandle = { readonly [compiled]: true };
type CursorHandle = { readonly [cursor]: true };

/** What is used of the native code's functions. */
interface NativeFunctions {
  databaseOpen(
    path: string,
    authToken: string,
    encryptionCipher: string,
    encryptionKey: string,
    timeoutMs: number,
    remoteEncryptionKey: string,
  ): DatabaseHandle;
  databaseExecSync(this: DatabaseHandle, sql: string): void;
  databasePrepareSync(this: DatabaseHandle, sql: string): StatementHandle;
  databaseInTransaction(handle: DatabaseHandle): boolean;
  databaseClose(this: DatabaseHandle): void;
  statementRun(this: StatementHandle, values: readonly SqlValue[]): { readonly changes: number };
  statementGet(this: StatementHandle, values: readonly SqlValue[]): unknown;
  statementRowsSync(this: StatementHandle, values: readonly SqlValue[]): CursorHandle;
  rowsNext(this: CursorHandle, rows: unknown[]): void;
}

/** Names the platform package of `libsql`. */
export function nativePackage(platform: string, architecture: string, isMusl: () => boolean): string {
  if (platform === 'win32') return `@libsql/win32-${architecture}-msvc`;
  if (platform !== 'linux') return `@libsql/${platform}-${architecture}`;
  return `@libsql/linux-${architecture}-${isMusl() ? 'musl' : 'gnu'}${architecture === 'arm' ? 'eabihf' : ''}`;
}

/** The program's interpreter stands in its first page, behind the headers. */
const HEAD_BYTES = 4096;

/** Whether musl's loader starts this program (`/lib/ld-musl-x86_64.so.1`); glibc's is called `ld-linux-…`. */
export function isMuslProgram(program: string): boolean {
  const head = Buffer.alloc(HEAD_BYTES);
  const file = openSync(program, 'r');
  try {
    return head.subarray(0, readSync(file, head)).includes('/ld-musl-');
  } finally {
    closeSync(file);
  }
}
