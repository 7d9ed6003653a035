import { join } from 'node:path';
import Libsql from 'libsql';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as z from 'zod';
import { systemCodeOf } from '../../../shared/errors.js';
import { lockFile, openConnection, readBlob, transaction } from '../../../shared/sqlite/connection.js';
import type { SqlValue } from '../../../shared/sqlite/native.js';
import { temporaryFolder } from '../../support/files.js';

async function open(path = ':memory:') {
  const connection = openConnection(path, 1000);
  onTestFinished(() => connection.close());
  connection.exec('CREATE TABLE pair (a INTEGER PRIMARY KEY, b BLOB); CREATE INDEX by_b ON pair (b)');
  return connection;
}

describe('a connection', () => {
  it('writes and reads rows', async () => {
    const connection = await open();
    expect(connection.run('INSERT INTO pair VALUES (?, ?)', [1, Buffer.from([0, 255])])).toBe(1);
    // A lone Buffer among the values, which libsql by itself would take for named ones.
    expect(connection.run('INSERT INTO pair (b) VALUES (?)', [Buffer.from('x')])).toBe(1);
    expect(connection.all('SELECT a FROM pair ORDER BY a')).toMatchObject([{ a: 1 }, { a: 2 }]);
    expect(connection.get('SELECT count(*) AS n FROM pair')).toMatchObject({ n: 2 });
  });

  it.each([0, 1, 99, 100, 101, 250])('returns the same %i rows as libsql', async (count) => {
    const path = join(temporaryFolder(), 'test.db');
    const connection = await open(path);
    transaction(connection, () => {
      for (let row = 0; row < count; row++) connection.run('INSERT INTO pair (b) VALUES (?)', [`row ${row}`]);
    });
    const select = 'SELECT * FROM pair WHERE a > ? ORDER BY a';
    const rows = connection.all(select, [0]);
    expect(rows).toHaveLength(count);
    expect(rows).toEqual(new Libsql(path).prepare(select).all([0]));
  });

  it('stores text, numbers, bytes and null, and returns them', async () => {
    const connection = await open();
    const values: SqlValue[] = ['text', 17, 1.5, null, Buffer.from('bytes')];
    for (const value of values) connection.run('INSERT INTO pair (b) VALUES (?)', [value]);
    const rows = z.array(z.object({ b: z.unknown() })).parse(connection.all('SELECT b FROM pair'));
    expect(rows.map(({ b }) => readBlob(b) ?? b)).toEqual(values);
    expect(connection.get('SELECT a FROM pair WHERE b = ?', ['text'])).toMatchObject({ a: 1 });
    expect(connection.get('SELECT a FROM pair WHERE b = ?', ['other'])).toBeUndefined();
    expect(connection.run('DELETE FROM pair WHERE a > ?', [2])).toBe(3);
  });

  it('throws errors with the codes of SQLite', async () => {
    const path = join(temporaryFolder(), 'test.db');
    const connection = await open(path);
    const codeOf = (work: () => unknown) => {
      try {
        return work();
      } catch (error) {
        return systemCodeOf(error);
      }
    };
    const insert = () => connection.run('INSERT INTO pair VALUES (1, NULL)');
    insert();
    expect(codeOf(insert)).toBe('SQLITE_CONSTRAINT_PRIMARYKEY');
    expect(codeOf(() => connection.exec('NO SQL'))).toBe('SQLITE_ERROR');
    expect(codeOf(() => connection.run('NO SQL'))).toBe('SQLITE_ERROR');
    connection.exec('BEGIN EXCLUSIVE');
    expect(codeOf(() => openConnection(path, 0).exec('BEGIN EXCLUSIVE'))).toBe('SQLITE_BUSY');
  });

  it('throws, and does not end the process, when it is used after it was closed', async () => {
    const connection = await open();
    connection.close();
    connection.close();
    expect(connection.inTransaction).toBe(false);
    expect(() => connection.run('INSERT INTO pair VALUES (1, NULL)')).toThrow('closed');
    expect(() => connection.exec('DELETE FROM pair')).toThrow('closed');
    expect(() => transaction(connection, () => undefined)).toThrow('closed');
  });
});

describe('a transaction', () => {
  it('writes all or nothing', async () => {
    const connection = await open();
    const value = transaction(connection, () => {
      expect(connection.inTransaction).toBe(true);
      connection.run('INSERT INTO pair VALUES (1, NULL)');
      return 'done';
    });
    expect(value).toBe('done');
    const failing = () =>
      transaction(connection, () => {
        connection.run('INSERT INTO pair VALUES (2, NULL)');
        connection.run('INSERT INTO pair VALUES (1, NULL)');
      });
    expect(failing).toThrow();
    expect(connection.inTransaction).toBe(false);
    expect(connection.all('SELECT a FROM pair')).toMatchObject([{ a: 1 }]);
  });
});

it('readBlob gives the bytes of a BLOB column, and undefined for other values', async () => {
  const connection = await open();
  connection.run('INSERT INTO pair VALUES (1, ?), (2, NULL)', [Buffer.from([0, 255])]);
  const [row] = connection.all('SELECT b FROM pair WHERE a = 1');
  const column = typeof row === 'object' && row !== null && 'b' in row ? row.b : undefined;
  expect(readBlob(column)).toEqual(Buffer.from([0, 255]));
  expect(readBlob(new Uint8Array([1, 2]).buffer)).toEqual(Buffer.from([1, 2]));
  expect(readBlob(null)).toBeUndefined();
  expect(readBlob('text')).toBeUndefined();
});

it('a locked file cannot be locked again until it is unlocked', async () => {
  const path = join(temporaryFolder(), 'a.lock');
  const unlock = lockFile(path);
  let refused: unknown;
  try {
    lockFile(path);
  } catch (error) {
    refused = error;
  }
  expect(systemCodeOf(refused)).toBe('SQLITE_BUSY');
  unlock();
  lockFile(path)();
});
