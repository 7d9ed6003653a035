import { messageOf, systemCodeOf } from '../../shared/errors.js';
import { type Connection, transaction } from '../../shared/sqlite/connection.js';
import { connect, DamagedError } from './sqlite.js';

/** `PRAGMA user_version` of the tables below. */
const SCHEMA_VERSION = 1;
const SCHEMA = [
  // Columns are what is searched for; the rest is in checked records, see record.ts.
  'CREATE TABLE command (seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, live INTEGER NOT NULL, record BLOB NOT NULL, progress BLOB NOT NULL)',
  'CREATE TABLE outbox (seq INTEGER PRIMARY KEY, record BLOB NOT NULL)',
  `PRAGMA user_version = ${SCHEMA_VERSION}`,
];

/** Opens a database and creates its tables, all or none. */
export function openChecked(path: string): Connection {
  const connection = connect(path);
  try {
    const version = versionOf(connection);
    // A database of another version cannot be read.
    if (version !== 0 && version !== SCHEMA_VERSION) throw new DamagedError(`the database has version ${version}`);
    if (version === 0) {
      transaction(connection, () => {
        for (const statement of SCHEMA) connection.run(statement);
      });
    }
    // Finds damage of the schema that quick_check does not report.
    for (const table of ['command', 'outbox']) connection.all(`SELECT seq, record FROM ${table} LIMIT 0`);
  } catch (error) {
    connection.close();
    throw systemCodeOf(error) === 'SQLITE_ERROR' ? new DamagedError(messageOf(error), { cause: error }) : error;
  }
  return connection;
}

function versionOf(connection: Connection): number {
  const [row] = connection.all('PRAGMA user_version');
  if (typeof row === 'object' && row !== null && 'user_version' in row && typeof row.user_version === 'number') {
    return row.user_version;
  }
  throw new DamagedError('the database has no version');
}
