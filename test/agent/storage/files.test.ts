import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openDatabaseFile, writeAgain } from '../../../agent/storage/files.js';
import { readMarker, writeMarker } from '../../../agent/storage/folder.js';
import { DamagedError } from '../../../agent/storage/sqlite.js';
import { temporaryFolder } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { live, openTestDatabase, openTestJournal } from '../command/journal/support.js';
import { asAfterKill } from '../command/wired-support.js';
import { filledFolder, insert, smallDisk } from './support.js';

const NOW = new Date('2026-11-23T00:00:00Z');

function open(folder: string) {
  const file = openDatabaseFile(folder, NOW, false);
  onTestFinished(() => file.connection.close());
  return file;
}

describe('the database file of a state folder', () => {
  it('is created for its owner, in a folder that is marked before as one where nothing can have been lost', () => {
    const folder = join(temporaryFolder(), 'a', 'b');
    expect(open(folder)).toMatchObject({ writable: true, created: true, marker: undefined });
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readMarker(folder)).toBe('creating');
  });

  it('that was left while it was being created is created anew, and was never a journal', async () => {
    const folder = temporaryFolder();
    writeMarker(folder, 'creating');
    writeFileSync(join(folder, 'journal.db'), '');
    expect(open(folder)).toMatchObject({ created: true, marker: 'creating', damage: undefined });
    const { database } = await openTestJournal(asAfterKill(folder));
    expect(database.status).toMatchObject({ damaged: 0, lost: 0 });
  });

  it('is opened as it was left', async () => {
    const folder = await filledFolder();
    expect(open(folder)).toMatchObject({ writable: true, created: false, marker: { id: expect.any(String) } });
  });

  it.each([
    ['cut to nothing', (path: string) => truncateSync(path)],
    ['of other bytes', (path: string) => writeFileSync(path, Buffer.alloc(8192, 7))],
  ])('that is %s is set aside', async (_, damage) => {
    const folder = await filledFolder();
    damage(join(folder, 'journal.db'));
    const { created, damage: found } = open(folder);
    expect([created, found?.path]).toEqual([true, join(folder, 'journal.db.damaged-2026-11-23T00:00:00.000Z')]);
  });
});

describe('the watch on an open database', () => {
  it('misses nothing as long as its files are there, and grow, and the log is cut by SQLite', () => {
    const { connection, watch } = open(temporaryFolder());
    for (let seq = 0; seq < 50; seq++) {
      expect(watch?.missing()).toBeUndefined();
      connection.run('INSERT INTO outbox VALUES (?, zeroblob(10000))', [seq]);
      if (seq % 20 === 0) connection.get('PRAGMA wal_checkpoint(TRUNCATE)');
      watch?.note();
    }
    expect(watch?.missing()).toBeUndefined();
  });

  it('misses nothing of a log that is written back as it is opened', () => {
    const folder = temporaryFolder();
    open(folder).connection.run("INSERT INTO outbox VALUES (1, 'x')");
    const killed = asAfterKill(folder);
    expect(statSync(join(killed, 'journal.db-wal')).size).toBeGreaterThan(0);
    const { connection, watch } = openDatabaseFile(killed, NOW, true);
    onTestFinished(() => connection.close());
    expect(statSync(join(killed, 'journal.db-wal')).size).toBe(0);
    expect(watch?.missing()).toBeUndefined();
  });

  it.each(['journal.db', 'journal.db-wal'])('misses %s when it is deleted, and when it is another', (name) => {
    const folder = temporaryFolder();
    const { connection, watch } = open(folder);
    connection.run("INSERT INTO outbox VALUES (1, 'x')");
    watch?.note();
    expect(watch?.missing()).toBeUndefined();
    const path = join(folder, name);
    rmSync(path);
    watch?.note();
    expect(watch?.missing()).toBe(path);
    writeFileSync(path, 'other');
    watch?.note();
    expect(watch?.missing()).toBe(path);
  });

  it.each(['journal.db', 'journal.db-wal'])('finds damage where %s became shorter', (name) => {
    const folder = temporaryFolder();
    const { connection, watch } = open(folder);
    connection.get('PRAGMA wal_checkpoint(TRUNCATE)');
    connection.run("INSERT INTO outbox VALUES (1, 'x')");
    watch?.note();
    expect(watch?.missing()).toBeUndefined();
    execFileSync('truncate', ['--size=100', join(folder, name)]);
    expect(watch?.missing).toThrow(DamagedError);
  });
});

describe('a database whose file is gone', () => {
  it('is written again whole, whatever lies in its place', async () => {
    const folder = temporaryFolder();
    const { connection } = open(folder);
    connection.run("INSERT INTO outbox VALUES (1, 'x')");
    rmSync(join(folder, 'journal.db'));
    writeFileSync(join(folder, 'journal.db'), 'other');
    writeFileSync(join(folder, 'journal.db.new'), 'of a power cut');
    writeAgain(connection, folder, NOW);
    expect(readdirSync(folder).filter((name) => name.endsWith('.new') || name.endsWith('db-wal'))).toEqual([]);
    expect(existsSync(join(folder, 'journal.db.damaged-2026-11-23T00:00:00.000Z'))).toBe(true);
    const again = open(asAfterKill(folder));
    expect(again.connection.all('SELECT seq FROM outbox')).toMatchObject([{ seq: 1 }]);
  });
});

describe.skipIf(needs('root'))('a folder that cannot be written', () => {
  const remount = (folder: string, mode: 'ro' | 'rw') => execFileSync('mount', ['-o', `remount,${mode}`, folder]);

  it('has its repeats answered from a copy, refuses what needs the journal, and is used when it can be written', async () => {
    const source = temporaryFolder();
    const before = await openTestJournal(source);
    await live(before.journal, 1);
    const state = asAfterKill(source);
    const folder = smallDisk(1024 * 1024);
    for (const name of readdirSync(state)) copyFileSync(join(state, name), join(folder, name));
    remount(folder, 'ro');
    const database = await openTestDatabase(folder, undefined, { retryMs: 20 });
    expect(database.status).toMatchObject({ writable: false, reason: expect.stringContaining('EROFS'), lost: 0 });
    expect(await insert(database, 1)).toMatchObject({ code: 'busy' });
    expect(await database.read('SELECT seq FROM command')).toMatchObject([{ seq: 1 }]);
    expect(database.identity).toEqual(before.database.identity);
    const opened = new Promise((resolve) => database.onOpen(({ writable }) => writable && resolve(writable)));
    remount(folder, 'rw');
    await opened;
    expect(await insert(database, 1)).toBeUndefined();
  });

  it('and has no database is not opened until it can be', async () => {
    const folder = smallDisk(1024 * 1024);
    remount(folder, 'ro');
    const database = await openTestDatabase(folder, undefined, { retryMs: 20 });
    await expect(database.read('SELECT 1')).rejects.toMatchObject({ code: 'busy' });
    const opened = new Promise((resolve) => database.onOpen(resolve));
    remount(folder, 'rw');
    expect(await opened).toMatchObject({ writable: true, contents: 'found' });
    expect(database.status.lost).toBe(0);
  });
});
