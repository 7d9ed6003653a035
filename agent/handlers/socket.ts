import { lstat } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { type CutResult, utf8Tail } from '../../shared/format/cut.js';
import type { SocketConfig } from '../config/schema.js';
import { configuredHandler } from './configured-handler.js';
import { resolveSafePath } from './file-safety.js';
import type { Handler } from './handler.js';
import { beforeStart, NotStartedError } from './not-started.js';
import { restWhenCongested } from './pace.js';
import { ERROR_TAIL_BYTES, keepHead, keepTail, readOutput, writeInput } from './stdio.js';

const WORLD_WRITES = 0o002;
/** The last line of a successful service's output. */
const OK_LINE = /(?:^|\n)(ok\n?)$/;
const OK_LINE_BYTES = 4;

/**
 * Makes a handler that calls a service behind a Unix socket, which may have other privileges. It sends the parameters as a
 * program would get them on stdin and closes its side; everything until the service closes the connection is the reply,
 * like a program's stdout. A connection has no exit code, so a last line `ok`, not part of the reply, means success;
 * without it the command fails with the end of the output. So a service that dies has failed.
 *
 * A time-out closes the connection; the service itself is not stopped.
 */
export const socketHandler = (name: string, config: SocketConfig): Handler => ({
  ...configuredHandler(name, config),
  needsAuthentication: true,
  run: (params, { signal }) => callService(config.socket, params, config.outputBytes, signal),
});

/**
 * Calls the service behind a socket and resolves to its reply.
 *
 * @throws (rejects) NotStartedError when it cannot be reached; Error when it fails
 */
export async function callService(
  path: string,
  params: unknown,
  outputBytes: number,
  signal: AbortSignal,
): Promise<string | Buffer | CutResult> {
  const safePath = await beforeStart(() => resolveSafeSocket(path));
  const received = await exchange(safePath, writeInput(params), outputBytes, signal);
  const raw = params instanceof Uint8Array;
  const okLine = OK_LINE.exec(received.tail.toString('latin1'))?.[1];
  if (okLine === undefined) throw new Error(explainFailure(path, received.tail));
  // The line break before `ok` ends the text above it; a raw reply is sent byte for byte, without it.
  const total = Math.max(0, received.total - okLine.length - (raw ? 1 : 0));
  return readOutput(received.head.subarray(0, Math.min(outputBytes, total)), total, raw);
}

/**
 * Resolves the path of a socket, and checks that only root and the agent's user can replace it, and that not every user
 * may connect. A group may.
 *
 * @param uid the agent's user
 * @returns its real path
 * @throws (rejects) SupersimError `handler-invalid` when it is missing or not a socket, `program-unsafe`
 */
export async function resolveSafeSocket(path: string, uid = process.getuid?.() ?? 0): Promise<string> {
  if (!isAbsolute(path)) throw new SupersimError('handler-invalid', `the socket ${path} must have an absolute path`);
  const status = await lstat(path).catch((error: unknown) => {
    throw new SupersimError('handler-invalid', `cannot find ${path}: ${messageOf(error)}`, {
      remedy: 'Start the unit that creates it: `systemctl enable --now NAME.socket`.',
      cause: error,
    });
  });
  if (!status.isSocket()) throw new SupersimError('handler-invalid', `${path} is not a socket`);
  const folder = await resolveSafePath(dirname(path), uid);
  const remedy =
    'Set `SocketUser=root`, `SocketGroup=supersim-agent` and `SocketMode=0660` in its unit, then restart it.';
  if (![0, uid].includes(status.uid)) {
    throw new SupersimError('program-unsafe', `${path} belongs to another user (uid ${status.uid})`, { remedy });
  }
  if ((status.mode & WORLD_WRITES) !== 0) {
    throw new SupersimError('program-unsafe', `${path} is writable by every user`, { remedy });
  }
  return join(folder, basename(path));
}

interface Received {
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly total: number;
}

/**
 * Sends the input and receives until the connection is closed.
 *
 * @throws (rejects) NotStartedError when it cannot connect
 */
function exchange(
  path: string,
  input: string | Uint8Array,
  outputBytes: number,
  signal: AbortSignal,
): Promise<Received> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = createConnection({ path, allowHalfOpen: true });
    const head = keepHead(socket, outputBytes + OK_LINE_BYTES);
    const tail = keepTail(socket, ERROR_TAIL_BYTES);
    restWhenCongested(socket);
    let connected = false;
    const abort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => {
      connected = true;
    });
    socket.once('error', (error) => {
      // A later error means that the service has not read the parameters, which is allowed.
      if (!connected) reject(new NotStartedError(error, `cannot connect to the service at ${path}: ${error.message}`));
    });
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      signal.removeEventListener('abort', abort);
      resolve({ head: head.bytes(), tail: tail.bytes(), total: head.total() });
    });
    socket.end(input);
  });
}

function explainFailure(path: string, tail: Buffer): string {
  const end = utf8Tail(tail, ERROR_TAIL_BYTES).trim();
  return `the service at ${path} ended without ok${end === '' ? ' and without output: see its journal' : `: ${end}`}`;
}
