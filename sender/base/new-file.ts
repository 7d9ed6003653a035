import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Creates a file that only its owner can read, whole or not at all; one that is there is left as it is.
 *
 * @param write writes the file, which is empty, under the temporary name that it is given
 * @throws the system's error; with the code `EEXIST` when there is one
 */
export function createPrivateFile(path: string, write: (temporary: string) => void): void {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.new`;
  closeSync(openSync(temporary, 'wx', 0o600));
  try {
    write(temporary);
    // Fails where there is a file of that name, while renaming would replace it.
    linkSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Has the disk keep the names in a file's folder; the file's content was synced before. */
export function syncFolderOf(path: string): void {
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Creates such a file with a text. */
export const createPrivateText = (path: string, text: string): void =>
  createPrivateFile(path, (temporary) => writeFileSync(temporary, text));
