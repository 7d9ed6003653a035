import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemCodeOf } from '../../../shared/errors.js';
import { loadLibrary, lockFile, openConnection, readBlob, transaction } from '../../../shared/sqlite/connection.js';
import { temporaryFolder } from '../../support/files.js';

async function open(path = ':memory:') {
  const connection = openConnection(await loadLibrary(), path, 1000);
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
  const library = await loadLibrary();
  const path = join(temporaryFolder(), 'a.lock');
  const unlock = lockFile(library, path);
  let refused: unknown;
  try {
    lockFile(library, path);
  } catch (error) {
    refused = error;
  }
  expect(systemCodeOf(refused)).toBe('SQLITE_BUSY');
  unlock();
  lockFile(library, path)();
});
