/** Name of the SQLite database in the state folder. SQLite's write-ahead log lies beside it, with `-wal` appended. */
export const DATABASE_NAME = 'journal.db';

/** Returns the folder that systemd gives the service in STATE_DIRECTORY, or the usual one. */
export const defaultStateFolder = ({ STATE_DIRECTORY: folders = '' }: NodeJS.ProcessEnv): string =>
  folders.split(':')[0] || '/var/lib/supersim-agent';
