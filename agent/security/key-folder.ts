import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { type DeviceKey, parseKeyFile } from './key-file.js';

/** Most keys of a device; further ones are not used. */
export const MAX_KEYS = 8;
/** Most files of a folder that are looked at. */
const MAX_FILES = 64;
const MAX_KEY_BYTES = 16_384;
const SUFFIX = '.json';
/** The group may read, and nobody else may do anything. */
const FORBIDDEN_OF_FILE = 0o037;
const FORBIDDEN_OF_FOLDER = 0o022;

/** Returns the folder in the one that systemd gives the service in CONFIGURATION_DIRECTORY, or the usual one. */
export const defaultKeyFolder = ({ CONFIGURATION_DIRECTORY: folders = '' }: NodeJS.ProcessEnv): string =>
  join(folders.split(':')[0] || '/etc/supersim-agent', 'keys');

/** The keys that can be used, and why others cannot. */
export interface LoadedKeys {
  readonly keys: readonly DeviceKey[];
  readonly problems: readonly SupersimError[];
}

/** No keys at all. */
export const NO_KEYS: LoadedKeys = { keys: [], problems: [] };

/** A folder with key files. */
export interface KeyFolder {
  /** Undefined for none. */
  readonly path: string | undefined;
  /** Whether it may be missing, and then has no keys. */
  readonly mayBeMissing: boolean;
  /** Whether it may have files that are no keys: those whose names do not end in `.json`. */
  readonly isShared: boolean;
}

/**
 * Loads the key files of folders: those whose names end in `.json`. One that cannot be used is a problem and keeps the
 * others usable; with a problem there is a key, as far as `security.required` is concerned.
 *
 * @param folders in the order of precedence where two have the same kid
 */
export async function loadKeys(folders: readonly KeyFolder[]): Promise<LoadedKeys> {
  const keys: DeviceKey[] = [];
  const problems: SupersimError[] = [];
  for (const folder of folders) {
    for (const path of await listFolder(folder, problems)) {
      try {
        const key = await loadKey(path);
        expectPlace(key, keys);
        keys.push(key);
      } catch (error) {
        problems.push(problemOf(path, error));
      }
    }
  }
  return { keys, problems };
}

async function listFolder({ path, mayBeMissing, isShared }: KeyFolder, problems: SupersimError[]): Promise<string[]> {
  if (path === undefined) return [];
  try {
    expectSafe(await stat(path), FORBIDDEN_OF_FOLDER);
    const names = (await readdir(path)).sort();
    const keys = names.filter(isKeyName);
    if (keys.length > MAX_FILES) problems.push(new SupersimError('key-invalid', `${path} has ${keys.length} files`));
    if (!isShared) checkNames(path, names, problems);
    // That of a disk which is not mounted is there, and empty.
    if (keys.length === 0 && !mayBeMissing && !isShared) throw new Error('it has no key');
    return keys.slice(0, MAX_FILES).map((name) => join(path, name));
  } catch (error) {
    // A symbolic link that leads nowhere is not missing.
    const isMissing = systemCodeOf(error) === 'ENOENT' && (await lstat(path).catch(() => undefined)) === undefined;
    if (!isMissing || !mayBeMissing) problems.push(problemOf(path, error));
    return [];
  }
}

const isKeyName = (name: string): boolean => name.endsWith(SUFFIX) && !name.startsWith('.');

/** A key whose name is wrong must not leave the device open. */
function checkNames(path: string, names: readonly string[], problems: SupersimError[]): void {
  const wrong = names.find((name) => !isKeyName(name) && (!name.startsWith('.') || name.endsWith(SUFFIX)));
  if (wrong === undefined) return;
  const why = `the name of a key file ends in ${SUFFIX}, and does not begin with a dot`;
  problems.push(problemOf(join(path, wrong), new Error(why)));
}

async function loadKey(path: string): Promise<DeviceKey> {
  // Not blocked by a named pipe.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new Error('it is not a file');
    expectSafe(status, FORBIDDEN_OF_FILE);
    if (status.size > MAX_KEY_BYTES) throw new Error(`it has ${status.size} bytes, more than ${MAX_KEY_BYTES}`);
    const name = path.slice(path.lastIndexOf('/') + 1, -SUFFIX.length);
    return parseKeyFile(name, await file.readFile('utf8'));
  } finally {
    await file.close();
  }
}

/** @throws SupersimError `key-unsafe` when others than root and the agent's user can change it, or read it */
function expectSafe({ uid, mode }: Stats, forbidden: number): void {
  const own = process.getuid?.() ?? 0;
  if (uid !== 0 && uid !== own) throw new SupersimError('key-unsafe', `it belongs to another user (uid ${uid})`);
  if ((mode & forbidden) !== 0) {
    throw new SupersimError('key-unsafe', `other users have access to it (mode ${(mode & 0o7777).toString(8)})`);
  }
}

function expectPlace({ kid, name }: DeviceKey, keys: readonly DeviceKey[]): void {
  const other = keys.find((key) => key.kid === kid || key.name === name);
  if (other !== undefined) throw new Error(`the key ${other.name} has the same ${other.kid === kid ? 'kid' : 'name'}`);
  if (keys.length >= MAX_KEYS) throw new Error(`there are ${MAX_KEYS} keys already, the most that a device has`);
}

function problemOf(path: string, error: unknown): SupersimError {
  const code = error instanceof SupersimError && error.code === 'key-unsafe' ? error.code : 'key-invalid';
  return new SupersimError(code, `${path}: ${messageOf(error)}`, { cause: error });
}
