import { createRequire } from 'node:module';
import { join } from 'node:path';
import Libsql from 'libsql';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import manifest from '../../../package.json' with { type: 'json' };
import { isMuslProgram, loadLibsql, nativePackage, openSqlite, type SqlValue } from '../../../shared/sqlite/libsql.js';
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
    const loaded = Object.keys(require.cache).filter((path) => /@libsql\/.*\.node$/.test(path));
    expect(loaded).toHaveLength(1);
    expect(require.cache[loaded[0] ?? '']?.exports).toBe(loadLibsql());
  });
});

describe('a SQLite file', () => {
  const open = () => {
    const path = join(temporaryFolder(), 'test.db');
    const file = openSqlite(path, 1000);
    file.exec('CREATE TABLE entry (id INTEGER PRIMARY KEY, value UNIQUE)');
    return { path, file, insert: file.prepare('INSERT INTO entry (value) VALUES (?)') };
  };

  it.each([0, 1, 99, 100, 101, 250])('returns the same %i rows as libsql', (count) => {
    const { path, file, insert } = open();
    file.exec('BEGIN');
    for (let value = 0; value < count; value++) insert.run([`value ${value}`]);
    file.exec('COMMIT');
    const select = 'SELECT * FROM entry WHERE id > ? ORDER BY id';
    const rows = file.prepare(select).all([0]);
    expect(rows).toHaveLength(count);
    expect(rows).toEqual(new Libsql(path).prepare(select).all([0]));
  });

  it('takes and returns text, numbers, bytes and null', () => {
    const { file, insert } = open();
    const values: SqlValue[] = ['text', 17, 1.5, null, Buffer.from('bytes')];
    for (const value of values) expect(insert.run([value])).toBe(1);
    const rows = z.array(z.object({ value: z.unknown() })).parse(file.prepare('SELECT value FROM entry').all([]));
    const read = rows.map(({ value }) => (value instanceof ArrayBuffer ? Buffer.from(value) : value));
    expect(read).toEqual(values);
    expect(file.prepare('SELECT id FROM entry WHERE value = ?').get(['text'])).toMatchObject({ id: 1 });
    expect(file.prepare('SELECT id FROM entry WHERE value = ?').get(['other'])).toBeUndefined();
  });

  it('tells how many rows a statement changed', () => {
    const { file, insert } = open();
    for (const value of [1, 2, 3]) insert.run([value]);
    expect(file.prepare('DELETE FROM entry WHERE id > ?').run([1])).toBe(2);
  });

  it('throws errors with the codes of SQLite', () => {
    const { path, file, insert } = open();
    insert.run(['once']);
    expect(() => insert.run(['once'])).toThrow(expect.objectContaining({ code: 'SQLITE_CONSTRAINT_UNIQUE' }));
    expect(() => file.exec('NO SQL')).toThrow(expect.objectContaining({ code: 'SQLITE_ERROR' }));
    expect(() => file.prepare('NO SQL')).toThrow(expect.objectContaining({ code: 'SQLITE_ERROR' }));
    const other = openSqlite(path, 0);
    file.exec('BEGIN EXCLUSIVE');
    expect(() => other.exec('BEGIN EXCLUSIVE')).toThrow(expect.objectContaining({ code: 'SQLITE_BUSY' }));
    expect([file.inTransaction, other.inTransaction]).toEqual([true, false]);
  });

  it('throws, and does not end the process, when it is used after it was closed', () => {
    const { file } = open();
    file.close();
    file.close();
    expect(() => file.exec('SELECT 1')).toThrow('is closed');
    expect(() => file.prepare('SELECT 1')).toThrow('is closed');
    expect(file.inTransaction).toBe(false);
  });

  it('releases its locks when it is closed and no statement was compiled', () => {
    const path = join(temporaryFolder(), 'test.db');
    const file = openSqlite(path, 0);
    file.exec('BEGIN EXCLUSIVE');
    file.close();
    openSqlite(path, 0).exec('BEGIN EXCLUSIVE');
  });
});
