import { closeSync, openSync, realpathSync, statSync } from 'node:fs';
import { join, parse } from 'node:path';
import * as z from 'zod';
import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { type Connection, openConnection, transaction } from '../../shared/sqlite/connection.js';
import { defaultProfile } from '../base/profile-path.js';

/**
 * The tables of the file with the keys, which only its owner can read. `machine` and `path` are where it was made: a copy
 * elsewhere must not protect anything, as both would use the same sequence numbers.
 */
const SCHEMA = `
CREATE TABLE installation (
  format INTEGER NOT NULL,
  tag TEXT NOT NULL,           -- random: in the names of the devices' key files
  machine TEXT NOT NULL,
  path TEXT NOT NULL,
  last INTEGER NOT NULL        -- the sequence number that was drawn last
);
CREATE TABLE fleet_keys (
  id TEXT PRIMARY KEY,
  secret BLOB NOT NULL,
  kid INTEGER NOT NULL UNIQUE, -- this installation's, with this key
  is_current INTEGER NOT NULL, -- 1: new key files are made from it
  created_at TEXT NOT NULL
);
CREATE TABLE devices (
  sid TEXT PRIMARY KEY,        -- of the SIM
  unique_name TEXT,
  iccid TEXT
);
CREATE TABLE device_keys (
  id TEXT PRIMARY KEY,
  sid TEXT NOT NULL REFERENCES devices,
  device_id TEXT NOT NULL,
  fleet_key TEXT REFERENCES fleet_keys,
  secret BLOB,                 -- the master secret, where it is not derived from a fleet key
  kid INTEGER NOT NULL,
  allow TEXT,                  -- JSON; NULL for all commands
  sends_kid_context INTEGER NOT NULL,
  state TEXT NOT NULL          -- used, issued (not used yet), former, revoked
);
CREATE INDEX device_keys_of_sim ON device_keys (sid);
CREATE TABLE event_windows (
  key TEXT PRIMARY KEY,        -- digest of the master secret and the device id
  floor INTEGER NOT NULL,
  numbers TEXT NOT NULL        -- JSON
);
`;
const FORMAT = 1;
/** How long SQLite waits for another process of this installation. */
const BUSY_TIMEOUT_MS = 10_000;
/** Every permission bit but those of 0600. */
const MORE_THAN_0600 = 0o7177;

/** The file with the keys, of which several processes may use it at once. */
export interface KeyStore extends Pick<Connection, 'run' | 'all' | 'get'> {
  readonly path: string;
  /**
   * Does all of it or nothing, on the disk when it returns; no other process writes meanwhile.
   *
   * @throws SupersimError `keys-unusable` when it cannot be written
   */
  transaction<T>(work: () => T): T;
  close(): void;
}

/**
 * Returns the path of the file with the keys: SUPERSIM_KEYS, or beside the profile, with its name and the ending `.keys`.
 */
export function keysPath({ profile }: { profile?: string | undefined }, env: NodeJS.ProcessEnv): string {
  const given = env['SUPERSIM_KEYS'];
  if (given) return given;
  const { dir, name } = parse(profile ?? defaultProfile(env));
  return join(dir, `${name}.keys`);
}

/**
 * Opens the file with the keys.
 *
 * @returns undefined when there is none
 * @throws SupersimError `profile-unsafe` when others can read it, `keys-unusable`
 */
export function openKeyStore(path: string): KeyStore | undefined {
  return isThere(path) ? openFile(path) : undefined;
}

/**
 * Creates the file with the keys for this machine.
 *
 * @param machine its identity
 * @param tag random, in the names of the devices' key files
 * @throws SupersimError `keys-unusable`, `bad-input` when it exists
 */
export function createKeyStore(path: string, { machine, tag }: { machine: string; tag: string }): KeyStore {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') throw new SupersimError('bad-input', `${path} already exists`);
    throw unusable(path, error);
  }
  return openFile(path, (connection) => {
    connection.exec(SCHEMA);
    connection.run('INSERT INTO installation (format, tag, machine, path, last) VALUES (?, ?, ?, ?, 0)', [
      FORMAT,
      tag,
      machine,
      realpathSync(path),
    ]);
  });
}

/** @throws SupersimError `profile-unsafe` */
function isThere(path: string): boolean {
  try {
    const stats = statSync(path);
    if (!stats.isFile()) throw new SupersimError('profile-unsafe', `${path} is not a regular file`);
    if ((stats.mode & MORE_THAN_0600) === 0) return true;
    const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
    throw new SupersimError('profile-unsafe', `the file with the keys, ${path}, has mode ${mode}, more than 0600`, {
      remedy: `Run: chmod 600 ${path}. Who may have read it has the keys: replace them with \`supersim keys rotate\`.`,
    });
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false;
    throw error instanceof SupersimError ? error : unusable(path, error);
  }
}

const headSchema = z.object({ format: z.literal(FORMAT) });

function openFile(path: string, create?: (connection: Connection) => void): KeyStore {
  let connection: Connection | undefined;
  try {
    connection = openConnection(path, BUSY_TIMEOUT_MS);
    // One file, that can be copied while nothing is written.
    connection.exec('PRAGMA journal_mode = TRUNCATE');
    connection.exec('PRAGMA synchronous = FULL');
    if (create !== undefined) inTransaction(connection, path, () => connection && create(connection));
    headSchema.parse(connection.get('SELECT format FROM installation'));
    return storeOf(connection, path);
  } catch (error) {
    connection?.close();
    throw error instanceof SupersimError ? error : unusable(path, error);
  }
}

const storeOf = (connection: Connection, path: string): KeyStore => ({
  path,
  run: connection.run,
  all: connection.all,
  get: connection.get,
  transaction: (work) => inTransaction(connection, path, work),
  close: connection.close,
});

function inTransaction<T>(connection: Connection, path: string, work: () => T): T {
  try {
    return transaction(connection, work);
  } catch (error) {
    throw error instanceof SupersimError ? error : unusable(path, error);
  }
}

const unusable = (path: string, cause: unknown) =>
  new SupersimError('keys-unusable', `${path} cannot be used: ${messageOf(cause)}`, { cause });
