import { lstat, readlink, rename, symlink, unlink } from 'node:fs/promises';
import { messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';

/**
 * Makes `link` a symbolic link to the terminal, in place of an earlier one.
 *
 * @throws SupersimError `bad-input` when something else is there, or it cannot be made
 */
export async function placeLink(link: string, target: string): Promise<void> {
  try {
    const there = await lstat(link).catch((error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (there !== undefined && !there.isSymbolicLink()) throw new Error('it exists and is not a symbolic link');
    const fresh = `${link}.${process.pid}`;
    await symlink(target, fresh);
    await rename(fresh, link);
  } catch (error) {
    throw new SupersimError('bad-input', `modem path ${link}: ${messageOf(error)}`, {
      cause: error,
      remedy: 'Choose a path in a folder that this user may write to, where nothing is, or a symbolic link.',
    });
  }
}

/** Removes the link if it still leads to the terminal. */
export async function removeLink(link: string, target: string): Promise<void> {
  if ((await readlink(link).catch(() => undefined)) === target) await unlink(link).catch(() => undefined);
}
