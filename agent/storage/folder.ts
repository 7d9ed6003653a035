import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { lockFile } from '../../shared/sqlite/connection.js';
import type { Log } from '../base/log.js';

/** File that is locked while an agent uses the folder. */
export const LOCK_NAME = 'journal.lock';

/** systemd names a service's own folder in STATE_DIRECTORY. */
export const defaultStateFolder = ({ STATE_DIRECTORY: folders = '' }: NodeJS.ProcessEnv): string =>
  folders.split(':')[0] || '/var/lib/supersim-agent';

/** The folder, made if need be; undefined, with a warning, when it cannot be used. */
export function usableFolder(folder: string | undefined, log: Log): string | undefined {
  if (folder === undefined) return undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK | constants.X_OK);
    return folder;
  } catch (error) {
    log.warn(
      { folder, error: messageOf(error) },
      'the state folder cannot be used: what is known of commands is lost when the agent ends',
    );
    return undefined;
  }
}

/**
 * Holds the folder against another agent, which would run the same commands again.
 */
export function lockFolder(folder: string, log: Log): () => void {
  const path = join(folder, LOCK_NAME);
  try {
    return lockFile(path);
  } catch (error) {
    if (systemCodeOf(error) === 'SQLITE_BUSY') {
      throw new SupersimError('state-in-use', `another agent uses the state folder ${folder}`, { cause: error });
    }
    log.warn({ path, error: messageOf(error) }, 'the state folder could not be locked');
    return () => undefined;
  }
}
