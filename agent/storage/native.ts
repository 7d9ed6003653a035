import { closeSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The program's interpreter stands in its first page, behind the headers. */
const HEAD_BYTES = 4096;

/**
 * The package with the native part of `libsql` for a platform, by the rules of `libsql`'s own index.js, which takes
 * 15 ms to apply them: it writes a whole diagnostic report to learn which C library there is.
 */
export function nativePackage(platform: string, architecture: string, isMusl: () => boolean): string {
  if (platform === 'win32') return `@libsql/win32-${architecture}-msvc`;
  if (platform !== 'linux') return `@libsql/${platform}-${architecture}`;
  return `@libsql/linux-${architecture}-${isMusl() ? 'musl' : 'gnu'}${architecture === 'arm' ? 'eabihf' : ''}`;
}

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

/**
 * The native part of `libsql`, looked up from where `libsql` is, as package managers need not show it to anybody else.
 * In the bundle `libsql`'s own index.js gets it from here; see scripts/build.mjs.
 */
export function requireNative(): unknown {
  const { platform, arch, execPath } = process;
  const libsql = createRequire(createRequire(import.meta.url).resolve('libsql'));
  return libsql(nativePackage(platform, arch, () => isMuslProgram(execPath)));
}
