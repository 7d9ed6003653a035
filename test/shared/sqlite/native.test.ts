import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import manifest from '../../../package.json' with { type: 'json' };
import { isMuslProgram, loadNative, nativePackage } from '../../../shared/sqlite/native.js';
import { temporaryFolder, writeFile } from '../../support/files.js';

const require = createRequire(import.meta.url);
const manifestSchema = z.object({ version: z.string(), optionalDependencies: z.record(z.string(), z.string()) });

describe('the platform package of libsql', () => {
  const libsql = manifestSchema.parse(require(require.resolve('libsql').replace('index.js', 'package.json')));

  it('is one that libsql has, each for a platform of its own', () => {
    const packages = [
      ['linux', 'x64', false],
      ['linux', 'x64', true],
      ['linux', 'arm64', false],
      ['linux', 'arm64', true],
      ['linux', 'arm', false],
      ['linux', 'arm', true],
      ['darwin', 'x64', false],
      ['darwin', 'arm64', false],
      ['win32', 'x64', false],
    ] as const;
    const named = packages.map(([platform, architecture, musl]) => nativePackage(platform, architecture, () => musl));
    expect(named.toSorted()).toEqual(Object.keys(libsql.optionalDependencies).toSorted());
  });

  it('is an optional dependency of exactly the version whose JavaScript shows how it is called', () => {
    expect(manifest.devDependencies.libsql).toBe(libsql.version);
    expect(manifest.optionalDependencies).toMatchObject(libsql.optionalDependencies);
  });

  it('is chosen by the C library that the program is built for', () => {
    const folder = temporaryFolder();
    const musl = writeFile(folder, 'musl', `\u007fELF${'\0'.repeat(700)}/lib/ld-musl-armhf.so.1\0`);
    const glibc = writeFile(folder, 'glibc', `\u007fELF${'\0'.repeat(700)}/lib/ld-linux-armhf.so.3\0`);
    expect([musl, glibc, writeFile(folder, 'empty', '')].map(isMuslProgram)).toEqual([true, false, false]);
  });

  it('is here the one that libsql loads itself', () => {
    expect(require('libsql')).toBeTypeOf('function');
    const loaded = Object.keys(require.cache).filter((path) => /@libsql\/.*\.node$/.test(path));
    expect(loaded).toHaveLength(1);
    expect(require.cache[loaded[0] ?? '']?.exports).toBe(loadNative());
  });
});
