import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from './files.js';

const WAIT_MS = 10_000;

/**
 * Holds a pseudo-terminal, with a link to its far end: bytes of its stdin come out there, and bytes written there go to
 * its stdout. `deaf` reads nothing of what is written, `exclusive` lets nobody else
 * open it, and `locked` has it locked as a program does that is polite.
 */
const HOLDER = `
import fcntl, os, select, sys, termios, tty
link, mode = sys.argv[1:3]
near, far = os.openpty()
tty.setraw(far)
if mode == 'locked': fcntl.flock(far, fcntl.LOCK_EX)
if mode == 'exclusive': fcntl.ioctl(far, termios.TIOCEXCL)
os.symlink(os.ttyname(far), link + '.new')
os.rename(link + '.new', link)
sys.stderr.write(os.ttyname(far) + '\\n')
sys.stderr.flush()
while True:
    ready, _, _ = select.select([0] if mode == 'deaf' else [0, near], [], [])
    if 0 in ready:
        data = os.read(0, 65536)
        if not data: break
        while data: data = data[os.write(near, data):]
    if near in ready:
        os.write(1, os.read(near, 65536))
`;

export interface Pty {
  readonly pid: number;
  /** The device's own name. */
  readonly device: string;
  /** What was written at the far end so far. */
  received(): Buffer;
  /** Waits until so many bytes were. */
  receive(count: number): Promise<Buffer>;
  send(bytes: Uint8Array | string): void;
  /** The terminal vanishes, as a modem does that is unplugged; the link stays, and leads nowhere. */
  vanish(): Promise<void>;
}

/** Where a pseudo-terminal may be: a name that stays, as in /dev/serial/by-id. */
export const linkPath = (): string => join(temporaryFolder(), 'usb-modem-if02-port0');

/** Makes a pseudo-terminal that a link leads to; gone with the test. */
export async function openPty(link: string, mode: 'plain' | 'deaf' | 'exclusive' | 'locked' = 'plain'): Promise<Pty> {
  const child = spawn('python3', ['-c', HOLDER, link, mode], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined);
  onTestFinished(() => end(child));
  const chunks: Buffer[] = [];
  let arrived: () => void = () => undefined;
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    arrived();
  });
  const [name] = await once(child.stderr, 'data', { signal: AbortSignal.timeout(WAIT_MS) });
  const received = () => Buffer.concat(chunks);
  return {
    pid: child.pid ?? 0,
    device: String(name).trim(),
    received,
    receive: (count) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${received().length} of ${count} bytes came in ${WAIT_MS} ms`)),
          WAIT_MS,
        );
        arrived = () => {
          if (received().length < count) return;
          clearTimeout(timer);
          resolve(received());
        };
        arrived();
      }),
    send: (bytes) => void child.stdin.write(bytes),
    vanish: () => end(child),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
