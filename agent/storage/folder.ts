import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { lockFile } from '../../shared/sqlite/connection.js';
import type { Log } from '../base/log.js';

/** Name of the file that is locked while an agent uses the folder. */
export const LOCK_NAME = 'journal.lock';

/** Returns the folder that systemd gives the service in STATE_DIRECTORY, or the usual one. */
export const defaultStateFolder = ({ STATE_DIRECTORY: folders = '' }: NodeJS.ProcessEnv): string =>
  folders.split(':')[0] || '/var/lib/supersim-agent';

/** Returns the folder, created if needed; undefined, with a warning, when it cannot be used. */
export function usableFolder(folder: string | undefined, log: Log): string | undefined {
  if (folder === undefined) return undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK | constants.X_OK);
    return folder;
  } catch (error) {
    log.warn(
      { folder, error: messageOf(error) },
      'state folder: cannot be used; commands are remembered in memory only',
    );
    return undefined;
  }
}

/** Locks the folder against another agent, which would run the same commands again. */
export function lockFolder(folder: string, log: Log): () => void {
  const path = join(folder, LOCK_NAME);
  try {
    return lockFile(path);
  } catch (error) {
    if (systemCodeOf(error) === 'SQLITE_BUSY') {
      throw new SupersimError('state-in-use', `another agent uses the state folder ${folder}`, { cause: error });
    }
    log.warn({ path, error: messageOf(error) }, 'state folder: cannot be locked; continuing without the lock');
    return () => undefined;
  }
}
