import { lstat } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { utf8Tail } from '../../shared/format/cut.js';
import type { SocketConfig } from '../config/schema.js';
import { configured } from './configured.js';
import { checkedPath } from './file-safety.js';
import type { Handler } from './handler.js';
import { ERROR_TAIL_BYTES, keepHead, keepTail, readOutput, writeInput } from './stdio.js';

const WORLD_WRITES = 0o002;
/** What ends the output of a service that has succeeded: a line `ok`. */
const OK_LINE = /(?:^|\n)(ok\n?)$/;
const OK_LINE_BYTES = 4;

/**
 * A handler that has the service behind a Unix socket do it, which may have other rights: the parameters go to it as a
 * program would get them on its stdin, then the direction is closed; what comes until it closes the connection is the
 * reply, as a program's stdout would be. As a connection has no exit code, the last line tells: `ok`, which is no part
 * of the reply, or it has failed, with the end of what it wrote. So a service that dies half-way has failed.
 *
 * When its time is up the connection is closed; what the service does then is its own affair.
 */
export const socketHandler = (name: string, config: SocketConfig): Handler => ({
  ...configured(name, config),
  needsAuthentication: true,
  run: (params, { signal }) => callService(config.socket, params, config.outputBytes, signal),
});

/**
 * Has the service behind a socket do something, and waits for its reply.
 *
 * @throws (rejects) Error when it cannot be reached or fails; SupersimError `handler-invalid`, `program-unsafe`
 */
export async function callService(
  path: string,
  params: unknown,
  outputBytes: number,
  signal: AbortSignal,
): Promise<string | Buffer> {
  const heard = await converse(await checkedSocket(path), writeInput(params), outputBytes, signal);
  const raw = params instanceof Uint8Array;
  const okLine = OK_LINE.exec(heard.tail.toString('latin1'))?.[1];
  if (okLine === undefined) throw new Error(explainFailure(path, heard));
  // The line break before it belongs to the text above it; what is raw is sent byte for byte.
  const total = Math.max(0, heard.total - okLine.length - (raw ? 1 : 0));
  return readOutput(heard.head.subarray(0, Math.min(outputBytes, total)), total, raw);
}

/**
 * Checks that nobody but root and the agent's own user could put another socket in the place of this one, and that not
 * every user may use it: it may belong to a group.
 *
 * @param uid the agent's own user
 * @returns its real path
 * @throws SupersimError `handler-invalid` when it is not there, or no socket, and `program-unsafe`
 */
export async function checkedSocket(path: string, uid = process.getuid?.() ?? 0): Promise<string> {
  if (!isAbsolute(path)) throw new SupersimError('handler-invalid', `the socket ${path} must have an absolute path`);
  const status = await lstat(path).catch((error: unknown) => {
    throw new SupersimError('handler-invalid', `cannot find ${path}: ${messageOf(error)}`, {
      remedy: 'Start the unit that makes it: `systemctl enable --now NAME.socket`.',
      cause: error,
    });
  });
  if (!status.isSocket()) throw new SupersimError('handler-invalid', `${path} is no socket`);
  const folder = await checkedPath(dirname(path), uid);
  const remedy = 'Give its unit `SocketUser=root`, `SocketGroup=supersim-agent` and `SocketMode=0660`, and restart it.';
  if (![0, uid].includes(status.uid)) {
    throw new SupersimError('program-unsafe', `${path} belongs to another user (uid ${status.uid})`, { remedy });
  }
  if ((status.mode & WORLD_WRITES) !== 0) {
    throw new SupersimError('program-unsafe', `${path} can be used by every user`, { remedy });
  }
  return join(folder, basename(path));
}

interface Heard {
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly total: number;
  /** Why there was no connection. */
  readonly unreached: Error | undefined;
}

/** Sends input, and hears all that comes until the connection is closed, in whatever way. */
function converse(path: string, input: string | Uint8Array, outputBytes: number, signal: AbortSignal): Promise<Heard> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = createConnection({ path, allowHalfOpen: true });
    const head = keepHead(socket, outputBytes + OK_LINE_BYTES);
    const tail = keepTail(socket, ERROR_TAIL_BYTES);
    let connected = false;
    let unreached: Error | undefined;
    const abort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => {
      connected = true;
    });
    socket.once('error', (error) => {
      // Later ones tell that it has closed the connection without having read the parameters, which is no failure.
      if (!connected) unreached = error;
    });
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      signal.removeEventListener('abort', abort);
      resolve({ head: head.bytes(), tail: tail.bytes(), total: head.total(), unreached });
    });
    socket.end(input);
  });
}

function explainFailure(path: string, { tail, unreached }: Heard): string {
  if (unreached !== undefined) return `the service at ${path} cannot be reached: ${unreached.message}`;
  const end = utf8Tail(tail, ERROR_TAIL_BYTES).trim();
  return `the service at ${path} ended without ok${end === '' ? ', and said nothing: see its journal' : `: ${end}`}`;
}
