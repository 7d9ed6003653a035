import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync, type Stats } from 'node:fs';
import { createConnection, type Server } from 'node:net';
import { dirname } from 'node:path';
import { SupersimError, systemCodeOf } from '../../../shared/errors.js';

/** The owner and its group: who may write to the socket may use it. */
const SOCKET_MODE = 0o660;
const FOLDER_MODE = 0o750;
/** What an address of a Unix socket can hold (unix(7): 107), less the ending of the name that it is made under. */
const MAX_PATH_BYTES = 99;

/**
 * Has a server listen on a socket file. The file of an agent that is gone is replaced; the folder is made.
 *
 * @returns removes the file, if it is still this one; to be called once the server is closed
 * @throws SupersimError `port-in-use` when somebody listens there, `bad-input` for a path that cannot be used; and
 * whatever the file system says
 */
export async function listenOnFile(server: Server, path: string): Promise<() => void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new SupersimError('bad-input', `${path} is too long for a socket: ${MAX_PATH_BYTES} bytes at most`);
  }
  makeFolder(dirname(path));
  await refuseIfTaken(path);
  // Made under another name, and renamed when all is set: so nobody finds it with other permissions or before it
  // listens, a stale one is replaced in one step, and closing the server, which removes what it was made as, leaves
  // alone what somebody else may have put at the path since.
  const made = `${path}.${process.pid}`;
  rmSync(made, { force: true });
  await listen(server, made);
  try {
    chmodSync(made, SOCKET_MODE);
    const ours = lstatSync(made);
    renameSync(made, path);
    return () => {
      if (isSame(ours, lookAt(path))) rmSync(path, { force: true });
    };
  } catch (error) {
    server.close();
    throw error;
  }
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: FOLDER_MODE });
  } catch (error) {
    // Many folders that are there answer that they cannot be made.
    if (lookAt(folder) === undefined) throw error;
  }
}

async function refuseIfTaken(path: string): Promise<void> {
  const found = lookAt(path);
  if (found === undefined) return;
  if (!found.isSocket()) throw new SupersimError('bad-input', `${path} is there, and is no socket`);
  if (await somebodyListens(path)) {
    throw new SupersimError('port-in-use', `another process already listens on ${path}`, {
      remedy: 'Find it with `ss -lxp` and stop it, or configure another control socket.',
    });
  }
}

/** @throws Error when that cannot be known, such as for want of permission */
function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      const code = systemCodeOf(error);
      // EAGAIN: so many wait there already that the kernel lets in no more.
      if (code === 'EAGAIN') resolve(true);
      else if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

const lookAt = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

const isSame = (one: Stats, other: Stats | undefined) => one.ino === other?.ino && one.dev === other.dev;
