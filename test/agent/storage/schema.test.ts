import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { JournalEntry } from '../../../agent/command/journal/entry.js';
import { openOutbox } from '../../../agent/command/outbox/outbox.js';
import { writeRecord } from '../../../agent/storage/record.js';
import { createDatabase, openExisting } from '../../../agent/storage/schema.js';
import { DamagedError } from '../../../agent/storage/sqlite.js';
import { type Connection, openConnection } from '../../../shared/sqlite/connection.js';
import { temporaryFolder } from '../../support/files.js';
import {
  accept,
  command,
  ENDED,
  findIn,
  finish,
  keyOf,
  openTestDatabase,
  openTestJournal,
  REPLY,
  RUNNING,
  standingClock,
} from '../command/journal/support.js';
import { asAfterKill } from '../command/wired-support.js';

const NOW = standingClock().clock();
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

/**
 * Creates a database by SQL.
 *
 * @returns its folder: a copy, as compiled statements keep the file itself locked
 */
function createBySql(statements: readonly string[], fill: (connection: Connection) => void = () => undefined) {
  const folder = temporaryFolder();
  const connection = openConnection(join(folder, 'journal.db'), 0);
  for (const statement of ['PRAGMA journal_mode = WAL', ...statements]) connection.exec(statement);
  fill(connection);
  connection.close();
  return asAfterKill(folder);
}

/** Creates a database as version 0.1 of the agent did, with a command that has ended, one that waits, and a reply. */
function createVersion1(): string {
  const tables = [
    'CREATE TABLE command (seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, live INTEGER NOT NULL, record BLOB NOT NULL, progress BLOB NOT NULL)',
    'CREATE TABLE outbox (seq INTEGER PRIMARY KEY, record BLOB NOT NULL)',
    'PRAGMA user_version = 1',
  ];
  return createBySql(tables, (connection) => {
    const insert = (
      seq: number,
      progress: Omit<JournalEntry, 'seq' | 'command' | 'received' | 'reply'>,
      reply?: Buffer,
    ) => {
      const { key, request, ...fixed } = command(seq);
      const document = { seq, received: NOW, ...fixed, key: base64(key), request: base64(request) };
      const state = { seq, ...progress, reply: reply === undefined ? null : base64(reply) };
      connection.run('INSERT INTO command VALUES (?, ?, ?, ?, ?)', [
        seq,
        key,
        progress.state === 'done' ? 0 : 1,
        writeRecord(JSON.stringify(document)),
        writeRecord(JSON.stringify(state)),
      ]);
    };
    insert(1, { state: 'done', runs: 1, started: NOW, finished: NOW, outcome: 'done', code: null }, REPLY);
    insert(2, { state: 'accepted', runs: 0, started: null, finished: null, outcome: null, code: null });
    const destination = { address: '100.64.0.1', port: 6969 };
    const waiting = { seq: 7, bytes: base64(REPLY), destination, port: 6969, kind: 'reply', pushed: NOW, ttlMs: 1000 };
    connection.run('INSERT INTO outbox VALUES (?, ?)', [7, writeRecord(JSON.stringify(waiting))]);
  });
}

describe('a database of version 1', () => {
  it('is brought up to this version, and its commands and replies are still known', async () => {
    const folder = createVersion1();
    const { database, journal } = await openTestJournal(folder);
    expect(database.status).toMatchObject({ writable: true, damaged: 0, lost: 0 });
    expect(await findIn(journal, keyOf(1))).toEqual(ENDED);
    expect(await findIn(journal, keyOf(2))).toEqual(RUNNING);
    expect((await journal.get(2))?.command).toEqual(command(2));
    expect((await openOutbox(database, standingClock().clock)).waiting()).toMatchObject([{ seq: 7, bytes: REPLY }]);
    await finish(journal, 2);
    expect(await accept(journal, 3)).toBeUndefined();
    await database.close();
    const after = await openTestJournal(folder);
    for (const id of [1, 2]) expect(await findIn(after.journal, keyOf(id))).toEqual(ENDED);
    expect((await after.journal.list({ limit: 9 })).map(({ seq }) => seq)).toEqual([3, 2, 1]);
  });
});

describe('a database', () => {
  it('that was created has all of its tables, and is opened again', () => {
    const folder = temporaryFolder();
    createDatabase(join(folder, 'journal.db')).close();
    const connection = openExisting(join(asAfterKill(folder), 'journal.db'));
    const tables = connection.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    connection.close();
    expect(tables).toMatchObject(['command', 'identities', 'journal', 'outbox'].map((name) => ({ name })));
  });

  it.each([
    ['that is empty', []],
    ['of a later version', ['PRAGMA user_version = 99']],
    ['without its tables', ['PRAGMA user_version = 2']],
    ['with other tables', ['CREATE TABLE command (a)', 'CREATE TABLE outbox (a)', 'PRAGMA user_version = 2']],
  ])('%s is damaged', (_, statements) => {
    const folder = createBySql(statements);
    expect(() => openExisting(join(folder, 'journal.db'))).toThrow(DamagedError);
  });

  it('of a later version is set aside, not changed', async () => {
    const folder = createBySql(['PRAGMA user_version = 99']);
    const database = await openTestDatabase(folder);
    expect(database.status).toMatchObject({ writable: true, damaged: 1, lost: 1 });
  });
});
