import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync, type Stats } from 'node:fs';
import { createConnection, type Server } from 'node:net';
import { dirname } from 'node:path';
import { SupersimError, systemCodeOf } from '../../../shared/errors.js';

/** Owner and group may connect: that takes write permission. */
const SOCKET_MODE = 0o660;
const FOLDER_MODE = 0o750;
/** Limit of a Unix socket's address (unix(7): 107), less the suffix of the temporary name. */
const MAX_PATH_BYTES = 99;

/**
 * Makes a server listen on a socket file. Creates the folder, and replaces the file of an agent that has ended.
 *
 * @returns a function that removes the file unless it was replaced; call it once the server is closed
 * @throws (rejects) SupersimError `port-in-use` when another process listens there, `bad-input` for an unusable path;
 * and file system errors
 */
export async function listenOnFile(server: Server, path: string): Promise<() => void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new SupersimError('bad-input', `${path} is too long for a socket: the limit is ${MAX_PATH_BYTES} bytes`);
  }
  createFolder(dirname(path));
  await refuseIfTaken(path);
  // Created under a temporary name and renamed: no client sees it with other permissions or before the server listens,
  // a stale file is replaced atomically, and closing the server, which removes the name that it bound, spares a file
  // that another process has put at the path since.
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  await listen(server, temporary);
  try {
    chmodSync(temporary, SOCKET_MODE);
    const ours = lstatSync(temporary);
    renameSync(temporary, path);
    return () => {
      if (isSame(ours, statOf(path))) rmSync(path, { force: true });
    };
  } catch (error) {
    server.close();
    throw error;
  }
}

function createFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: FOLDER_MODE });
  } catch (error) {
    // mkdir of an existing folder may fail with EROFS or EACCES instead of EEXIST.
    if (statOf(folder) === undefined) throw error;
  }
}

async function refuseIfTaken(path: string): Promise<void> {
  const found = statOf(path);
  if (found === undefined) return;
  if (!found.isSocket()) throw new SupersimError('bad-input', `${path} exists and is not a socket`);
  if (await hasListener(path)) {
    throw new SupersimError('port-in-use', `another process already listens on ${path}`, {
      remedy: 'Find it with `ss -lxp` and stop it, or configure another control socket.',
    });
  }
}

/** @throws (rejects) Error when that cannot be determined, for example without permission */
function hasListener(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      const code = systemCodeOf(error);
      // EAGAIN: the listener's backlog is full.
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

const statOf = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

const isSame = (one: Stats, other: Stats | undefined) => one.ino === other?.ino && one.dev === other.dev;
