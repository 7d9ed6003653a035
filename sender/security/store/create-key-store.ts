import { mkdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { messageOf, systemCodeOf } from '../../../shared/errors.js';
import { openConnection, transaction } from '../../../shared/sqlite/connection.js';
import { createPrivateFile, syncFolderOf } from '../../base/new-file.js';
import { FORMAT, type KeyStore, openKeyStore, unusableKeys } from './key-store.js';

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
  secret BLOB,                 -- NULL once it was revoked
  kid INTEGER NOT NULL UNIQUE, -- this installation's, with this key
  is_current INTEGER NOT NULL, -- 1: new key files are made from it
  created_at TEXT NOT NULL
);
CREATE TABLE devices (
  sid TEXT PRIMARY KEY,        -- of the SIM
  unique_name TEXT UNIQUE,
  iccid TEXT UNIQUE
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
  state TEXT NOT NULL          -- KEY_STATES
);
CREATE INDEX device_keys_of_sim ON device_keys (sid);
CREATE UNIQUE INDEX used_key_of_sim ON device_keys (sid) WHERE state = 'used';
CREATE INDEX device_keys_of_device ON device_keys (device_id);
CREATE INDEX device_keys_of_fleet_key ON device_keys (fleet_key);
CREATE TABLE event_windows (
  key TEXT PRIMARY KEY,        -- digest of the master secret and the device id
  floor INTEGER NOT NULL,
  numbers TEXT NOT NULL        -- JSON
);
`;

/** An installation of the sender. */
export interface Installation {
  /** The identity of its machine. */
  readonly machine: string;
  /** Random, in the names of the devices' key files. */
  readonly tag: string;
}

/**
 * Opens the file with the keys; creates it for this machine, with its folder, when there is none. A process that is
 * killed meanwhile leaves no file of this name.
 *
 * @throws SupersimError `profile-unsafe`, `keys-unusable`
 */
export function openOrCreateKeyStore(path: string, installation: () => Installation): KeyStore {
  const store = openKeyStore(path) ?? createKeyStore(path, installation());
  if (store === undefined) throw unusableKeys(path, 'it is gone');
  return store;
}

function createKeyStore(path: string, installation: Installation): KeyStore | undefined {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const home = join(realpathSync(dirname(path)), basename(path));
    createPrivateFile(path, (temporary) => writeTables(temporary, home, installation));
    syncFolderOf(path);
  } catch (error) {
    // Another process has just created it.
    if (systemCodeOf(error) !== 'EEXIST') throw unusableKeys(path, messageOf(error), error);
  }
  return openKeyStore(path);
}

function writeTables(file: string, path: string, { machine, tag }: Installation): void {
  const connection = openConnection(file, 0);
  try {
    // No journal is left beside the temporary name.
    connection.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL');
    transaction(connection, () => {
      connection.exec(SCHEMA);
      connection.run('INSERT INTO installation (format, tag, machine, path, last) VALUES (?, ?, ?, ?, 0)', [
        FORMAT,
        tag,
        machine,
        path,
      ]);
    });
  } finally {
    connection.close();
  }
}
