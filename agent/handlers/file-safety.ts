import { lstat, readlink, realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { messageOf, SupersimError } from '../../shared/errors.js';

const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/**
 * Checks that nobody but root and the agent's own user could change a file that the agent is about to run, or put
 * another in its place: the file, every folder above it and every symbolic link on the way must belong to one of the
 * two and be writable by no other. Folders with the sticky bit (/tmp) may be: others cannot replace there what is not
 * theirs.
 *
 * @param uid the agent's own user
 * @returns the file's real path
 * @throws SupersimError `handler-invalid` when it is not there, `program-unsafe` when others can write it
 */
export async function checkedPath(path: string, uid = process.getuid?.() ?? 0): Promise<string> {
  // Throws for what is not there, and for links that go round in a circle, which the walk would follow for ever.
  await realpath(path).catch((error: unknown) => {
    throw new SupersimError('handler-invalid', `cannot find ${path}: ${messageOf(error)}`, { cause: error });
  });
  const owners = new Set([0, uid]);
  await checkPlace('/');
  return walk('/', isAbsolute(path) ? path : `${process.cwd()}/${path}`);

  /** Goes from a real folder along a path, name by name, and returns where that leads. */
  async function walk(folder: string, way: string): Promise<string> {
    let place = folder;
    for (const name of way.split('/')) {
      const next = join(place, name);
      if (['', '.', '..'].includes(name)) place = next;
      else if (!(await checkPlace(next))) place = next;
      else {
        const target = await readlink(next);
        place = await walk(isAbsolute(target) ? '/' : place, target);
      }
    }
    return place;
  }

  /** @returns whether it is a symbolic link; a link's own mode means nothing */
  async function checkPlace(place: string): Promise<boolean> {
    const status = await lstat(place);
    const { uid: owner, mode } = status;
    if (!owners.has(owner))
      throw new SupersimError('program-unsafe', `${place} belongs to another user (uid ${owner})`);
    if (status.isSymbolicLink()) return true;
    if ((mode & OTHERS_WRITE) !== 0 && !(status.isDirectory() && (mode & STICKY) !== 0)) {
      throw new SupersimError(
        'program-unsafe',
        `${place} can be written by other users (mode ${(mode & 0o7777).toString(8)})`,
      );
    }
    return false;
  }
}
