import type { Stats } from 'node:fs';
import { lstat, readlink, realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { messageOf, SupersimError } from '../../shared/errors.js';

const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/** What was found at paths, in one pass over many files: most are in the same folders. */
export type KnownPlaces = Map<string, Promise<Stats>>;

/**
 * Resolves the path of a file that the agent is about to run, and checks that only root and the agent's user can change
 * or replace it: the file, every folder above it and every symbolic link on the way must belong to one of the two and
 * not be writable by others. Folders with the sticky bit (/tmp) may be writable: other users cannot replace a file there
 * that is not theirs.
 *
 * @param uid the agent's user
 * @returns the file's real path
 * @throws (rejects) SupersimError `handler-invalid` when it does not exist, `program-unsafe` when others can change it
 */
export const resolveSafePath = async (path: string, uid?: number): Promise<string> =>
  (await inspectSafePath(path, uid)).path;

/**
 * Resolves the path of a file as {@link resolveSafePath} does.
 *
 * @throws (rejects) SupersimError, also `handler-invalid` when it is a folder, or another thing that is no file
 */
export async function resolveSafeFile(path: string, uid?: number, known?: KnownPlaces): Promise<string> {
  const { path: real, status } = await inspectSafePath(path, uid, known);
  if (!status.isFile()) throw new SupersimError('handler-invalid', `${path} is not a file`);
  return real;
}

async function inspectSafePath(
  path: string,
  uid = process.getuid?.() ?? 0,
  known: KnownPlaces = new Map(),
): Promise<{ readonly path: string; readonly status: Stats }> {
  // Rejects missing files, and loops of symbolic links, which the walk would follow forever.
  await realpath(path).catch((error: unknown) => {
    throw new SupersimError('handler-invalid', `cannot find ${path}: ${messageOf(error)}`, { cause: error });
  });
  const owners = new Set([0, uid]);
  await checkPlace('/');
  const real = await walk('/', isAbsolute(path) ? path : `${process.cwd()}/${path}`);
  return { path: real, status: await look(real) };

  function look(place: string): Promise<Stats> {
    const status = known.get(place) ?? lstat(place);
    known.set(place, status);
    return status;
  }

  /** Follows a path from a real folder, name by name, and returns the real path. */
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

  /** @returns whether it is a symbolic link; the mode of a link has no meaning */
  async function checkPlace(place: string): Promise<boolean> {
    const status = await look(place);
    const { uid: owner, mode } = status;
    if (!owners.has(owner))
      throw new SupersimError('program-unsafe', `${place} belongs to another user (uid ${owner})`);
    if (status.isSymbolicLink()) return true;
    if ((mode & OTHERS_WRITE) !== 0 && !(status.isDirectory() && (mode & STICKY) !== 0)) {
      throw new SupersimError(
        'program-unsafe',
        `${place} is writable by other users (mode ${(mode & 0o7777).toString(8)})`,
      );
    }
    return false;
  }
}
