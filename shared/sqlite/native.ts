import { closeSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';

/** A value in a row. Neither a boolean nor undefined: libsql ends the whole process on one. */
export type SqlValue = string | number | Uint8Array | null;

declare const kind: unique symbol;
export type DatabaseHandle = { readonly [kind]: 'database' };
export type StatementHandle = { readonly [kind]: 'statement' };
export type CursorHandle = { readonly [kind]: 'cursor' };

/** The functions of libsql's native code that are used here. */
export interface NativeFunctions {
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
  /** Fills an array with the next rows from its start; what it has no rows for it leaves as it is. */
  rowsNext(this: CursorHandle, rows: unknown[]): void;
}

let loaded: NativeFunctions | undefined;

/**
 * Loads the native code of libsql, whose platform package is required by name: 2 ms. The JavaScript of libsql takes
 * 13 ms, most of them for a diagnostic report that tells it which C library there is. Its index.js shows how the native
 * functions are called; compare it when the version of the packages changes.
 *
 * @param path for a thread whose code has no file of its own: what {@link nativePath} returned elsewhere
 * @throws Error where there is no package for this platform, or it is not installed
 */
export function loadNative(path?: string): NativeFunctions {
  if (loaded === undefined) {
    const found = path ?? nativePath();
    loaded = requireNative(found);
  }
  return loaded;
}

const requireNative = (path: string): NativeFunctions => createRequire(path)(path);

/**
 * Returns the path of the native code of libsql.
 *
 * @throws Error where there is no package for this platform, or it is not installed
 */
export function nativePath(): string {
  const { platform, arch, execPath } = process;
  return createRequire(import.meta.url).resolve(nativePackage(platform, arch, () => isMuslProgram(execPath)));
}

/** Names the platform package of libsql. */
export function nativePackage(platform: string, architecture: string, isMusl: () => boolean): string {
  if (platform === 'win32') return `@libsql/win32-${architecture}-msvc`;
  if (platform !== 'linux') return `@libsql/${platform}-${architecture}`;
  return `@libsql/linux-${architecture}-${isMusl() ? 'musl' : 'gnu'}${architecture === 'arm' ? 'eabihf' : ''}`;
}

/** The program's interpreter stands in its first page, behind the headers. */
const HEAD_BYTES = 4096;

/** Tells whether musl's loader starts this program (`/lib/ld-musl-x86_64.so.1`); glibc's is called `ld-linux-…`. */
export function isMuslProgram(program: string): boolean {
  const head = Buffer.alloc(HEAD_BYTES);
  const file = openSync(program, 'r');
  try {
    return head.subarray(0, readSync(file, head)).includes('/ld-musl-');
  } finally {
    closeSync(file);
  }
}
