import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';

/**
 * Program that holds the terminal: it makes it raw, prints its name, and keeps it open so that it outlives the programs
 * that open and close it. It is the session's leader, and so ends with the terminal.
 */
const HOLDER = 'stty raw -echo -echoe -echok -iexten cs8 && tty && exec tail -f /dev/null';
const HOLDER_STARTS_MS = 5000;
const HOLDER_ENDS_MS = 1000;
const FULL_RETRY_MS = 5;
/** Maximum of output that waits to be read; further output is discarded. */
const MAX_UNREAD_BYTES = 65_536;

/** A terminal that other processes open by its path like a serial port. It passes all byte values both ways. */
export interface Tty {
  readonly path: string;
  /** Process id of the program that holds it. */
  readonly holder: number;
  /** Writes the bytes of each call in one piece where possible. */
  write(bytes: Buffer): void;
  /** Discards output that was not read. */
  drain(): void;
  /** Ends the holder: the path vanishes, and programs that have it open read its end. */
  close(): Promise<void>;
}

export interface TtyOptions {
  /** Called with the bytes that other processes write. */
  readonly onData: (bytes: Buffer) => void;
  /** The holder ended unexpectedly. */
  readonly onLost: () => void;
}

/**
 * Opens a terminal.
 *
 * @throws SupersimError `pty-missing`
 */
export async function openTty({ onData, onLost }: TtyOptions): Promise<Tty> {
  const terminal = await spawnHolder();
  const { pid } = terminal;
  const fd = masterOf(terminal);
  let masterClosed = false;
  whenMasterCloses(terminal, () => {
    masterClosed = true;
  });
  let ended = false;
  let closing = false;
  const end = new Promise<void>((resolve) => {
    terminal.onExit(() => {
      ended = true;
      resolve();
      if (!closing) onLost();
    });
  });

  const close = async () => {
    closing = true;
    signalHolder('SIGHUP');
    const late = setTimeout(() => signalHolder('SIGKILL'), HOLDER_ENDS_MS);
    await end;
    clearTimeout(late);
  };
  /** Signals the holder by its pid: the terminal's own methods may signal every process. */
  function signalHolder(signal: NodeJS.Signals): void {
    if (!ended && Number.isInteger(pid) && pid > 1) process.kill(pid, signal);
  }

  const path = await firstLine(terminal, onData, end).catch(async (error) => {
    await close();
    throw error;
  });
  const writer = createWriter(fd, () => ended || closing || masterClosed);
  return {
    path,
    holder: pid,
    write: writer.write,
    drain() {
      writer.clear();
      drainSlave(path);
    },
    close,
  };
}

async function spawnHolder() {
  try {
    const { spawn } = await import('@lydell/node-pty');
    // The system's own tools, wherever the caller's PATH leads.
    const env = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' };
    return spawn('/bin/sh', ['-c', HOLDER], { encoding: null, cwd: '/', env });
  } catch (error) {
    throw new SupersimError('pty-missing', `no terminal for the virtual modem: ${messageOf(error)}`, { cause: error });
  }
}

type Terminal = Awaited<ReturnType<typeof spawnHolder>>;

/**
 * Returns the master's file descriptor. Writing by the terminal's stream would block the whole process while nobody
 * reads.
 */
function masterOf(terminal: Terminal): number {
  if ('fd' in terminal && typeof terminal.fd === 'number' && terminal.fd > 2) return terminal.fd;
  throw new SupersimError('pty-missing', 'this version of @lydell/node-pty does not expose its terminal’s descriptor');
}

/** Calls `task` when the master closes, from when on its descriptor may be reused. */
function whenMasterCloses(terminal: Terminal, task: () => void): void {
  if ('on' in terminal && typeof terminal.on === 'function') Reflect.apply(terminal.on, terminal, ['close', task]);
}

/** Reads the path that the holder prints; later bytes go to `onData`. */
async function firstLine(terminal: Terminal, onData: (bytes: Buffer) => void, end: Promise<void>): Promise<string> {
  let head: Buffer | undefined = Buffer.alloc(0);
  const printed = new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(noTerminal('its holder did not start')), HOLDER_STARTS_MS);
    void end.then(() => {
      clearTimeout(timer);
      reject(noTerminal(`its holder ended: ${JSON.stringify(head?.toString('latin1'))}`));
    });
    terminal.onData((data: string | Buffer) => {
      const bytes = Buffer.from(data);
      if (head === undefined) return onData(bytes);
      head = Buffer.concat([head, bytes]);
      const lineEnd = head.indexOf('\n');
      if (lineEnd === -1) return;
      clearTimeout(timer);
      const [path, rest] = [head.subarray(0, lineEnd).toString('latin1').trim(), head.subarray(lineEnd + 1)];
      head = undefined;
      resolve(path);
      if (rest.length > 0) onData(rest);
    });
  });
  return printed;
}

const noTerminal = (why: string) => new SupersimError('pty-missing', `no terminal for the virtual modem: ${why}`);

function createWriter(fd: number, isClosed: () => boolean) {
  let queue: Buffer[] = [];
  let waiting = 0;
  let scheduled = false;

  function pump(): void {
    scheduled = false;
    const [first] = queue;
    if (first === undefined || isClosed()) return;
    const written = tryWrite(fd, first);
    waiting -= written;
    if (written === first.length) queue.shift();
    else queue[0] = first.subarray(written);
    if (queue.length === 0) return;
    scheduled = true;
    if (written === 0) setTimeout(pump, FULL_RETRY_MS);
    else setImmediate(pump);
  }

  return {
    write(bytes: Buffer): void {
      if (isClosed() || waiting + bytes.length > MAX_UNREAD_BYTES || bytes.length === 0) return;
      queue.push(bytes);
      waiting += bytes.length;
      if (!scheduled) pump();
    },
    clear(): void {
      queue = [];
      waiting = 0;
    },
  };
}

/** Writes bytes and returns their number: 0 while the terminal is full, or when it has vanished. */
function tryWrite(fd: number, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    if (['EAGAIN', 'EIO', 'EBADF'].includes(systemCodeOf(error) ?? '')) return 0;
    throw error;
  }
}

function drainSlave(path: string): void {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
    const buffer = Buffer.alloc(MAX_UNREAD_BYTES);
    for (let rounds = 0; rounds < 64 && readSync(fd, buffer) > 0; rounds += 1);
  } catch {
    // EAGAIN: it is empty. Any other code: it has vanished with its contents.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
