import { messageOf, systemCodeOf } from '../../shared/errors.js';
import { type Connection, transaction } from '../../shared/sqlite/connection.js';
import { connect, DamagedError } from './sqlite.js';

/** `PRAGMA user_version` of the tables below. */
const SCHEMA_VERSION = 2;

/** Columns are what is searched for; the rest is in checked records, see record.ts. */
const SCHEMA = [
  'CREATE TABLE command (seq INTEGER PRIMARY KEY, live INTEGER NOT NULL, record BLOB NOT NULL, progress BLOB NOT NULL)',
  // Many ended commands in one row, without their replies.
  'CREATE TABLE identities (first INTEGER PRIMARY KEY, record BLOB NOT NULL)',
  // The count is of what was written into rows that are deleted by now.
  'CREATE TABLE journal (only INTEGER PRIMARY KEY CHECK (only = 1), record BLOB NOT NULL, count INTEGER NOT NULL DEFAULT 0)',
];
const OUTBOX = 'CREATE TABLE outbox (seq INTEGER PRIMARY KEY, record BLOB NOT NULL)';

/** Version 1 had a unique key for each command, whose index was a page more to write, twice for each command. */
const FROM_VERSION_1 = [
  'ALTER TABLE command RENAME TO command_1',
  ...SCHEMA,
  'INSERT INTO command SELECT seq, live, record, progress FROM command_1',
  'DROP TABLE command_1',
];

const setVersion = `PRAGMA user_version = ${SCHEMA_VERSION}`;

export const REPLACE_IDENTITY =
  'INSERT INTO journal (only, record) VALUES (1, ?) ON CONFLICT (only) DO UPDATE SET record = excluded.record';

/** They change nothing, and write as many pages as a command does. */
export const REWRITES = [
  setVersion,
  'UPDATE journal SET record = record',
  'UPDATE command SET live = live WHERE seq IN (SELECT seq FROM command ORDER BY seq DESC LIMIT 16)',
];

/**
 * Opens a database that exists, and brings its tables up to this version.
 *
 * @throws DamagedError when it is empty, without a version, or of a version that is not known
 */
export function openExisting(path: string): Connection {
  return checked(path, (connection) => {
    const version = versionOf(connection);
    if (version === 1) inOneStep(connection, FROM_VERSION_1);
    else if (version !== SCHEMA_VERSION) {
      throw new DamagedError(version === 0 ? 'the database is empty' : `the database has version ${version}`);
    }
  });
}

/** Creates a database with its tables, all or none. */
export function createDatabase(path: string): Connection {
  return checked(path, (connection) => inOneStep(connection, [...SCHEMA, OUTBOX]));
}

function checked(path: string, prepare: (connection: Connection) => void): Connection {
  const connection = connect(path);
  try {
    prepare(connection);
    // Finds damage of the schema that quick_check does not report.
    for (const table of ['command', 'outbox']) connection.all(`SELECT seq, record FROM ${table} LIMIT 0`);
    connection.all('SELECT first, record FROM identities LIMIT 0');
  } catch (error) {
    connection.close();
    throw systemCodeOf(error) === 'SQLITE_ERROR' ? new DamagedError(messageOf(error), { cause: error }) : error;
  }
  return connection;
}

function inOneStep(connection: Connection, statements: readonly string[]): void {
  transaction(connection, () => {
    for (const statement of [...statements, setVersion]) connection.run(statement);
  });
}

function versionOf(connection: Connection): number {
  const [row] = connection.all('PRAGMA user_version');
  if (typeof row === 'object' && row !== null && 'user_version' in row && typeof row.user_version === 'number') {
    return row.user_version;
  }
  throw new DamagedError('the database has no version');
}
