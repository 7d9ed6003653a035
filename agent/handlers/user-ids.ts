import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { requireDescriptors } from '../base/shortage.js';

const run = promisify(execFile);

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Finds a user's IDs by `id`, which knows all user databases of the system.
 *
 * @throws (rejects) SupersimError `handler-invalid` when the agent is not root, or the user does not exist
 */
export async function findUserIds(user: string): Promise<UserIds> {
  if (process.getuid?.() !== 0) {
    throw new SupersimError(
      'handler-invalid',
      `a program can run as the user ${user} only when the agent runs as root`,
    );
  }
  try {
    const [uid, gid] = await Promise.all(
      ['-u', '-g'].map(async (flag) => {
        requireDescriptors();
        return Number((await run('id', [flag, '--', user])).stdout);
      }),
    );
    if (uid === undefined || gid === undefined) throw new Error('id printed nothing');
    return { uid, gid };
  } catch (error) {
    throw new SupersimError('handler-invalid', `unknown user ${user}: ${messageOf(error).trim()}`, {
      cause: error,
    });
  }
}
