import { messageOf, systemCodeOf } from '../../shared/errors.js';
import { type Connection, transaction } from '../../shared/sqlite/connection.js';
import { connect, DamagedError } from './sqlite.js';

/** `PRAGMA user_version` of the tables below. */
const SCHEMA_VERSION = 1;
const SCHEMA = [
  // What is looked for is a column; the rest are checked records, see record.ts.
  'CREATE TABLE command (seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, live INTEGER NOT NULL, record BLOB NOT NULL, progress BLOB NOT NULL)',
  'CREATE TABLE outbox (seq INTEGER PRIMARY KEY, record BLOB NOT NULL)',
  `PRAGMA user_version = ${SCHEMA_VERSION}`,
];
/** Opens a database and makes its tables, all or none. */
export function openChecked(path: string): Connection {
  const connection = connect(path);
  try {
    const version = versionOf(connection);
    // Another version, or none at all any more: nothing that this agent could read.
    if (version !== 0 && version !== SCHEMA_VERSION) throw new DamagedError(`the database has version ${version}`);
    if (version === 0) {
      transaction(connection, () => {
        for (const statement of SCHEMA) connection.run(statement);
      });
    }
    // A schema that is damaged in a way that quick_check lets pass.
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
