import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';

/**
 * Holds the terminal: makes it raw before anybody knows its name, tells the name, and keeps it open so that it outlives
 * those who open and close it. The terminal’s end is its end: it is the session’s leader.
 */
const HOLDER = 'stty raw -echo -echoe -echok -iexten cs8 && tty && exec tail -f /dev/null';
const HOLDER_STARTS_MS = 5000;
const HOLDER_ENDS_MS = 1000;
const FULL_RETRY_MS = 5;
/** What nobody reads is lost beyond this. */
const MAX_UNREAD_BYTES = 65_536;

/** A terminal that other processes open by its path, as they would a serial port. All byte values pass both ways. */
export interface Tty {
  readonly path: string;
  /** The process that holds it. */
  readonly holder: number;
  /** Writes in one piece what can be; each call’s bytes by themselves. */
  write(bytes: Buffer): void;
  /** Throws away what was written and nobody has read. */
  drain(): void;
  /** Ends the holder: the path is gone, and whoever has it open reads its end. */
  close(): Promise<void>;
}

export interface TtyOptions {
  /** What somebody wrote to it. */
  readonly onData: (bytes: Buffer) => void;
  /** The holder has ended by itself. */
  readonly onLost: () => void;
}

/** @throws SupersimError `pty-missing` */
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
  /** Not by the terminal’s own methods: they may signal everybody. */
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
 * The terminal's own descriptor. Its stream must not write: on a terminal that nobody reads that would block the
 * process, and not only the stream.
 */
function masterOf(terminal: Terminal): number {
  if ('fd' in terminal && typeof terminal.fd === 'number' && terminal.fd > 2) return terminal.fd;
  throw new SupersimError('pty-missing', 'this version of @lydell/node-pty does not tell its terminal’s descriptor');
}

/** Before the holder's end is known: from then on the descriptor's number may be somebody else's. */
function whenMasterCloses(terminal: Terminal, task: () => void): void {
  if ('on' in terminal && typeof terminal.on === 'function') Reflect.apply(terminal.on, terminal, ['close', task]);
}

/** The path, which the holder tells; what comes later is for `onData`. */
async function firstLine(terminal: Terminal, onData: (bytes: Buffer) => void, end: Promise<void>): Promise<string> {
  let head: Buffer | undefined = Buffer.alloc(0);
  const told = new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(notHeld('its holder did not start')), HOLDER_STARTS_MS);
    void end.then(() => {
      clearTimeout(timer);
      reject(notHeld(`its holder ended: ${JSON.stringify(head?.toString('latin1'))}`));
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
  return told;
}

const notHeld = (why: string) => new SupersimError('pty-missing', `no terminal for the virtual modem: ${why}`);

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

/** How many bytes were taken: none while the terminal is full, or when it has just gone. */
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
    // EAGAIN: it is empty. Any other: it is gone, and what was in it too.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
